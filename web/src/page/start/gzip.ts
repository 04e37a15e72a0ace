/**
 * Unpacks gzip files (RFC 1952), also those of several members, one after the other, as `cat a.gz b.gz` makes them. The engine's `DecompressionStream` unpacks, and
 * compares checksums. But browsers' takes one member and refuses anything behind it, and Node's accepts anything there: so where each member ends is found here.
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

const damaged = (): Error => new Error('it is cut short, or damaged');

/** The bits of a file from some byte on, the lowest of each byte first. */
class Bits {
  #held = 0;
  #count = 0;

  constructor(
    private readonly bytes: Uint8Array,
    /** The byte whose bits are taken in next. */
    private at: number,
  ) {}

  /** The next bits, which stay. Behind the end there are two bytes of zeros: the table of codes is asked with as many bits as the longest code has. */
  peek(wanted: number): number {
    while (this.#count < wanted) {
      // Not a number, where the file ends within a header: nothing is there.
      if (!(this.at < this.bytes.length + 2)) throw damaged();
      this.#held |= (this.bytes[this.at++] ?? 0) << this.#count;
      this.#count += 8;
    }
    return this.#held & ((1 << wanted) - 1);
  }

  take(wanted: number): number {
    const value = this.peek(wanted);
    this.#held >>>= wanted;
    this.#count -= wanted;
    return value;
  }

  /** The symbol whose code comes next. */
  symbol({ table, bits }: Codes): number {
    const found = table[this.peek(bits)]!;
    if (found === 0) throw damaged();
    this.take(found & 15);
    return found >> 4;
  }

  /** Passes over what is stored as it is: from the next whole byte on, behind its length, which is there twice. */
  skipStored(): void {
    this.at -= this.#count >> 3;
    this.#held = this.#count = 0;
    this.at += 4 + this.bytes[this.at]! + this.bytes[this.at + 1]! * 256;
  }

  /**
   * The byte behind the one that the last bit was of.
   *
   * @throws Error the file has ended before
   */
  get end(): number {
    const end = this.at - (this.#count >> 3);
    if (!(end <= this.bytes.length)) throw damaged();
    return end;
  }
}

/** The codes of literals and lengths, and of distances, that a block defines for itself (RFC 1951, section 3.2.7). */
function readCodes(bits: Bits): readonly [Codes, Codes] {
  const [literals, distances, lengths] = [bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4];
  if (literals > LITERALS_MAX || distances > DISTANCES_MAX) throw damaged();
  const order = new Uint8Array(ORDER.length);
  for (const place of ORDER.slice(0, lengths)) order[place] = bits.take(3);
  const codes = codesOf(order, true);
  if (!codes) throw damaged();
  const all = new Uint8Array(literals + distances);
  for (let known = 0; known < all.length; ) {
    const next = bits.symbol(codes);
    if (next < 16) {
      all[known++] = next;
      continue;
    }
    // 16 repeats the length before it, 17 and 18 are zeros.
    if (next === 16 && known === 0) throw damaged();
    const repeated = next === 16 ? all[known - 1]! : 0;
    const end = known + (next === 16 ? bits.take(2) + 3 : next === 17 ? bits.take(3) + 3 : bits.take(7) + 11);
    if (end > all.length) throw damaged();
    all.fill(repeated, known, end);
    known = end;
  }
  const [first, second] = [codesOf(all.subarray(0, literals)), codesOf(all.subarray(literals))];
  if (!first || !second || all[BLOCK_END] === 0) throw damaged();
  return [first, second];
}

/** Passes over the bits that follow the symbol of a length: how much longer it is, the distance, and how much further that is. */
function skipMatch(bits: Bits, symbol: number, distances: Codes): void {
  if (symbol > 285) throw damaged();
  bits.take(symbol < 265 || symbol === 285 ? 0 : (symbol - 261) >> 2);
  const distance = bits.symbol(distances);
  if (distance > 29) throw damaged();
  bits.take(distance < 4 ? 0 : (distance - 2) >> 1);
}

/** Where what is packed by deflate (RFC 1951) ends that begins here. It is read as far as that takes: nothing is unpacked. */
async function afterDeflate(bytes: Uint8Array, at: number, pace: Pace): Promise<number> {
  const bits = new Bits(bytes, at);
  for (;;) {
    const last = bits.take(1);
    const kind = bits.take(2);
    if (kind === 0) bits.skipStored();
    else if (kind === 3) throw damaged();
    else {
      const [literals, distances] = kind === 1 ? FIXED : readCodes(bits);
      if (kind === 2 && pace.take(CODES_STEPS + literals.table.length + distances.table.length)) await turn();
      for (let next = bits.symbol(literals); next !== BLOCK_END; next = bits.symbol(literals)) {
        if (next > BLOCK_END) skipMatch(bits, next, distances);
        if (pace.take(1)) await turn();
      }
    }
    const { end } = bits;
    if (pace.take(1)) await turn();
    if (last) return end;
  }
}
