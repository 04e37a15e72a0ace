/**
 * Unpacks gzip (RFC 1952) of several members, one behind the other, as `cat a.gz b.gz` makes them. Browsers' `DecompressionStream` takes one member and refuses what
 * is behind it, Node's takes whatever is behind it: so where members end is found here, and each is unpacked by the engine, which compares its checksum.
 */
import { turn } from './telling.js';

/** Members that a file may have, as natively. Each costs the time of a new decompressor, also where nothing is in it. */
const MEMBERS_MAX = 1 << 16;
/** Bytes of the head of a member, without what is optional in it. */
const HEAD = 10;
/** Bytes at a member's end: the checksum and the length of what is packed. */
export const TRAILER = 8;
/** Codes of deflate that are passed over before the event loop runs. */
const SLICE = 1 << 19;
/** The order in which a block tells the lengths of the codes of lengths (RFC 1951, section 3.2.7). */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

export const isGzip = (bytes: Uint8Array, at = 0): boolean => bytes[at] === 0x1f && bytes[at + 1] === 0x8b;

/** All members of a file, unpacked one after another. `ends` is where each of them ends; without it there is one. */
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
 * @throws Error what is no gzip: cut short, or with something else behind a member
 */
export async function memberEnds(bytes: Uint8Array): Promise<number[]> {
  const ends: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (ends.length === MEMBERS_MAX) throw new Error(`it is made of more than ${MEMBERS_MAX} gzip files`);
    at = await afterDeflate(bytes, afterHead(bytes, at)) + TRAILER;
    if (at > bytes.length) throw new Error('it is cut short');
    ends.push(at);
  }
  return ends;
}

/** Where the head of a member ends that begins here. */
function afterHead(bytes: Uint8Array, at: number): number {
  if (!isGzip(bytes, at) || bytes[at + 2] !== 8) throw new Error('what is behind a gzip file in it is none');
  const flags = bytes[at + 3]!;
  at += HEAD;
  if (flags & 4) at += 2 + bytes[at]! + bytes[at + 1]! * 256;
  // A name, and a comment; NaN where an earlier field leads out of the file.
  for (const flag of [8, 16]) if (flags & flag) at = bytes.indexOf(0, at) + 1 || NaN;
  if (flags & 2) at += 2;
  return at;
}

/** By the next bits, as many as the longest code has, 16 times the symbol and the length of its code; 0 where there is none. */
interface Codes {
  readonly table: Uint16Array;
  readonly bits: number;
}

/** The codes whose symbols have these lengths (RFC 1951, section 3.2.2). */
function codesOf(lengths: ArrayLike<number>): Codes {
  const all = Array.from(lengths);
  const bits = Math.max(1, ...all);
  const table = new Uint16Array(1 << bits);
  let code = 0;
  for (let length = 1; length <= bits; length++, code <<= 1) {
    all.forEach((own, symbol) => {
      if (own !== length) return;
      // Codes come with their first bit first.
      let turned = 0;
      for (let bit = 0; bit < length; bit++) turned |= ((code >> bit) & 1) << (length - 1 - bit);
      for (let at = turned; at < table.length; at += 1 << length) table[at] = symbol * 16 + length;
      code += 1;
    });
  }
  return { table, bits };
}

const FIXED = [
  codesOf(Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8))),
  codesOf(new Uint8Array(30).fill(5)),
] as const;

/** Where what is packed by deflate (RFC 1951) ends that begins here. It is read as far as that takes: nothing is unpacked. */
async function afterDeflate(bytes: Uint8Array, at: number): Promise<number> {
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
    const order = new Uint8Array(ORDER.length);
    for (const place of ORDER.slice(0, lengths)) order[place] = take(3);
    const codes = codesOf(order);
    const all: number[] = [];
    while (all.length < literals + distances) {
      const next = symbol(codes);
      if (next < 16) all.push(next);
      else if (next === 16) {
        const last = all.at(-1);
        if (last === undefined) throw wrong();
        for (let times = take(2) + 3; times > 0; times--) all.push(last);
      } else for (let times = next === 17 ? take(3) + 3 : take(7) + 11; times > 0; times--) all.push(0);
    }
    return [codesOf(all.slice(0, literals)), codesOf(all.slice(literals, literals + distances))];
  };
  for (let passed = 1; ; passed++) {
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
      for (let next = symbol(literals); next !== 256; next = symbol(literals)) {
        if (next > 256) {
          // How many bits more tell a length, and how far back it is.
          if (next > 285) throw wrong();
          take(next < 265 || next === 285 ? 0 : (next - 261) >> 2);
          const distance = symbol(distances);
          if (distance > 29) throw wrong();
          take(distance < 4 ? 0 : (distance - 2) >> 1);
        }
        if (++passed % SLICE === 0) await turn();
      }
    }
    if (!(at - (count >> 3) <= bytes.length)) throw wrong();
    if (last) return at - (count >> 3);
    if (passed % SLICE === 0) await turn();
  }
}
