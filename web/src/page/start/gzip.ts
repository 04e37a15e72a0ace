/**
 * Unpacks gzip files (RFC 1952) of several members, one after the other, as `cat a.gz b.gz` makes them. Browsers' `DecompressionStream` takes one member and refuses
 * anything after it, Node's accepts anything: so the ends of members are found here, and each member is unpacked by the engine, which compares its checksum.
 */
import { turn } from '../../both/turn.js';

/** Members that a file may have, as natively. Each costs a new decompressor, even an empty one. */
const MEMBERS_MAX = 1 << 16;
/** Bytes of a member's header, without the optional fields. */
const HEAD = 10;
/** Bytes at a member's end: the checksum and the unpacked length. */
export const TRAILER = 8;
/** Steps after which the event loop runs: one for each code of deflate that is skipped, and one for each entry of a code table. */
const SLICE = 1 << 19;
/** Further steps for the codes of each block: some 300 lengths are read, and three tables made. */
const CODES_STEPS = 512;
/** Symbols for which a block may define codes, of literals and lengths, and of distances: the engines' limits. */
const LITERALS_MAX = 286;
const DISTANCES_MAX = 30;
/** The symbol that ends a block. */
const BLOCK_END = 256;
/** Bits of the longest code. */
const BITS_MAX = 15;
/** The order in which a block lists the code lengths of the code length alphabet (RFC 1951, section 3.2.7). */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

export const isGzip = (bytes: Uint8Array, at = 0): boolean => bytes[at] === 0x1f && bytes[at + 1] === 0x8b;

/** Unpacks all members of a file, one after another. `ends` is where each of them ends; without it there is one. */
export function unpackedMembers(file: Blob, ends: readonly number[] = [file.size]): ReadableStream<Uint8Array> {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let member = 0;
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        if (!reader && member === ends.length) return controller.close();
        reader ??= file.slice(ends[member - 1], ends[member++]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        reader = undefined;
      }
    },
    cancel: (reason) => reader?.cancel(reason),
  });
}

/**
 * Where each member ends.
 *
 * @throws Error what isn't gzip: cut short, or with something else after a member
 */
export async function memberEnds(bytes: Uint8Array): Promise<number[]> {
  const ends: number[] = [];
  const pace = new Pace();
  let at = 0;
  while (at < bytes.length) {
    if (ends.length === MEMBERS_MAX) throw new Error(`it is made of more than ${MEMBERS_MAX} gzip files`);
    at = await afterDeflate(bytes, afterHead(bytes, at), pace) + TRAILER;
    if (at > bytes.length) throw new Error('it is cut short');
    ends.push(at);
  }
  return ends;
}

/** Where the header of the member that begins at `at` ends. */
function afterHead(bytes: Uint8Array, at: number): number {
  if (!isGzip(bytes, at) || bytes[at + 2] !== 8) throw new Error('what is behind a gzip file in it is none');
  const flags = bytes[at + 3]!;
  at += HEAD;
  if (flags & 4) at += 2 + bytes[at]! + bytes[at + 1]! * 256;
  // A name and a comment, both ending in NUL; NaN where the file ends before.
  for (const flag of [8, 16]) if (flags & flag) at = bytes.indexOf(0, at) + 1 || NaN;
  if (flags & 2) at += 2;
  return at;
}

/** By the next bits, as many as the longest code has, 16 times the symbol and the length of its code; 0 where there is none. */
interface Codes {
  readonly table: Uint16Array;
  readonly bits: number;
}

/** How many steps are left until the event loop is to run, in a whole file. */
class Pace {
  #left = SLICE;

  /** Takes these steps; whether it is time for a `turn`. */
  take(steps: number): boolean {
    this.#left -= steps;
    if (this.#left > 0) return false;
    this.#left = SLICE;
    return true;
  }
}

/**
 * The codes whose symbols have these lengths (RFC 1951, section 3.2.2); none where engines refuse them: of codes that take more room than there is, or leave
 * some, there may be one alone, of one bit, or none at all.
 *
 * @param whole none may be left over at all
 */
function codesOf(lengths: ArrayLike<number>, whole = false): Codes | undefined {
  const counts = new Uint16Array(BITS_MAX + 1);
  for (let symbol = 0; symbol < lengths.length; symbol++) counts[lengths[symbol]!]! += 1;
  let bits = BITS_MAX;
  while (bits > 1 && counts[bits] === 0) bits -= 1;
  // The first code of each length, and the room that those of all have taken.
  const codes = new Uint16Array(BITS_MAX + 1);
  let end = 0;
  for (let length = 1; length <= bits; length++) {
    codes[length] = end <<= 1;
    end += counts[length]!;
    if (end > 1 << length) return undefined;
  }
  const none = counts[0] === lengths.length;
  if (end < 1 << bits && !none && (whole || bits > 1)) return undefined;
  const table = new Uint16Array(1 << bits);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!;
    if (length === 0) continue;
    const code = codes[length]!++;
    // Codes come with their first bit first.
    let turned = 0;
    for (let bit = 0; bit < length; bit++) turned |= ((code >> bit) & 1) << (length - 1 - bit);
    for (let at = turned; at < table.length; at += 1 << length) table[at] = symbol * 16 + length;
  }
  return { table, bits };
}

const FIXED = [
  codesOf(Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)))!,
  codesOf(new Uint8Array(32).fill(5))!,
] as const;

/** Where what is packed by deflate (RFC 1951) ends that begins here. It is read as far as that takes: nothing is unpacked. */
async function afterDeflate(bytes: Uint8Array, at: number, pace: Pace): Promise<number> {
  let held = 0;
  let count = 0;
  const wrong = () => new Error('it is cut short, or damaged');
  /** The next bits, which are taken; what is behind the end is 0, and there is little of it. */
  const take = (wanted: number): number => {
    const value = peek(wanted);
    held >>>= wanted;
    count -= wanted;
    return value;
  };
  const peek = (wanted: number): number => {
    while (count < wanted) {
      // Bytes that are there by no more than the longest code.
      if (!(at < bytes.length + 2)) throw wrong();
      held |= (bytes[at++] ?? 0) << count;
      count += 8;
    }
    return held & ((1 << wanted) - 1);
  };
  const symbol = ({ table, bits }: Codes): number => {
    const found = table[peek(bits)]!;
    if (found === 0) throw wrong();
    take(found & 15);
    return found >> 4;
  };
  const told = (): readonly [Codes, Codes] => {
    const [literals, distances, lengths] = [take(5) + 257, take(5) + 1, take(4) + 4];
    if (literals > LITERALS_MAX || distances > DISTANCES_MAX) throw wrong();
    const order = new Uint8Array(ORDER.length);
    for (const place of ORDER.slice(0, lengths)) order[place] = take(3);
    const codes = codesOf(order, true);
    if (!codes) throw wrong();
    const all = new Uint8Array(literals + distances);
    for (let known = 0; known < all.length; ) {
      const next = symbol(codes);
      if (next < 16) {
        all[known++] = next;
        continue;
      }
      if (next === 16 && known === 0) throw wrong();
      const repeated = next === 16 ? all[known - 1]! : 0;
      const end = known + (next === 16 ? take(2) + 3 : next === 17 ? take(3) + 3 : take(7) + 11);
      if (end > all.length) throw wrong();
      all.fill(repeated, known, end);
      known = end;
    }
    const [first, second] = [codesOf(all.subarray(0, literals)), codesOf(all.subarray(literals))];
    if (!first || !second || all[BLOCK_END] === 0) throw wrong();
    return [first, second];
  };
  for (;;) {
    const last = take(1);
    const kind = take(2);
    if (kind === 0) {
      // Stored: from the next whole byte on, behind its length and that once more.
      at -= count >> 3;
      held = count = 0;
      at += 4 + bytes[at]! + bytes[at + 1]! * 256;
    } else if (kind === 3) throw wrong();
    else {
      const [literals, distances] = kind === 1 ? FIXED : told();
      if (kind === 2 && pace.take(CODES_STEPS + literals.table.length + distances.table.length)) await turn();
      for (let next = symbol(literals); next !== BLOCK_END; next = symbol(literals)) {
        if (next > BLOCK_END) {
          // How many bits more tell a length, and how far back it is.
          if (next > 285) throw wrong();
          take(next < 265 || next === 285 ? 0 : (next - 261) >> 2);
          const distance = symbol(distances);
          if (distance > 29) throw wrong();
          take(distance < 4 ? 0 : (distance - 2) >> 1);
        }
        if (pace.take(1)) await turn();
      }
    }
    if (!(at - (count >> 3) <= bytes.length)) throw wrong();
    if (pace.take(1)) await turn();
    if (last) return at - (count >> 3);
  }
}
