/**
 * The mailbox of a worker in the `sab` variant: a ring in shared memory into which the page writes
 * while the worker is blocked.
 *
 * A frame is its length, the length of a JSON head, the head, and bytes. A frame may be longer than the
 * ring: it is a stream of bytes, and what does not fit waits on the page until the worker has made room.
 */
import type { Mail } from './protocol.js';

/** Bytes of the ring. It bounds what the page can send ahead of a worker that does not read. */
const RING = 1 << 18;
/** Words of the header, in 32-bit words. */
const enum Word {
  /** Bytes written, modulo 2^32. */
  Written,
  /** Bytes read, modulo 2^32. */
  Read,
  /** Grows with every write: what the worker waits on. */
  Wake,
  /** 1 while an agent runs: then the worker's event loop, and with it messages, may not be running. */
  Running,
  /** 1 when the page has more to write than fitted. */
  WantsRoom,
  Count,
}
const HEADER = Word.Count * 4;
/** Bytes of a frame's two lengths. */
const LENGTHS = 8;

export function createMailbox(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER + RING);
}

/** The page's side. */
export class MailboxWriter {
  readonly #words: Int32Array;
  readonly #ring: Uint8Array;
  #queue: Uint8Array[] = [];

  /** @param notify called when the worker may be idle and must be told by message */
  constructor(
    buffer: SharedArrayBuffer,
    private readonly notify: () => void,
  ) {
    this.#words = new Int32Array(buffer, 0, Word.Count);
    this.#ring = new Uint8Array(buffer, HEADER);
  }

  send(mail: Mail): void {
    const parts = encode(mail);
    this.#queue.push(...parts);
    this.pump();
    // What has to wait is copied: the bytes may be the caller's, who may change them meanwhile.
    if (parts.length > 1 && this.#queue.length > 0) this.#queue.push(new Uint8Array(this.#queue.pop()!));
  }

  /** Writes as much of what waits as fits. */
  pump(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0]!;
      const written = Atomics.load(this.#words, Word.Written);
      let room = RING - ((written - Atomics.load(this.#words, Word.Read)) >>> 0);
      if (room === 0) {
        Atomics.store(this.#words, Word.WantsRoom, 1);
        // The worker may have made room after it was looked for and before the flag was set.
        room = RING - ((written - Atomics.load(this.#words, Word.Read)) >>> 0);
        if (room === 0) break;
      }
      const at = (written >>> 0) % RING;
      const count = Math.min(room, bytes.length, RING - at);
      this.#ring.set(bytes.subarray(0, count), at);
      Atomics.store(this.#words, Word.Written, (written + count) | 0);
      if (count === bytes.length) this.#queue.shift();
      else this.#queue[0] = bytes.subarray(count);
    }
    Atomics.add(this.#words, Word.Wake, 1);
    Atomics.notify(this.#words, Word.Wake);
    if (Atomics.load(this.#words, Word.Running) === 0) this.notify();
  }
}

/** The worker's side. */
export class MailboxReader {
  readonly #words: Int32Array;
  readonly #ring: Uint8Array;
  /** The bytes of the next frame's two lengths that have arrived. */
  readonly #lengths = new Uint8Array(LENGTHS);
  /** The next frame, allocated once its length is known. */
  #frame: Uint8Array<ArrayBuffer> | undefined;
  /** How many bytes of it have arrived. */
  #filled = 0;

  /** @param madeRoom called when the page waits for room and there is some */
  constructor(
    buffer: SharedArrayBuffer,
    private readonly madeRoom: () => void,
  ) {
    this.#words = new Int32Array(buffer, 0, Word.Count);
    this.#ring = new Uint8Array(buffer, HEADER);
  }

  /** Says whether an agent runs. Read the mailbox once more after it has ended. */
  setRunning(running: boolean): void {
    Atomics.store(this.#words, Word.Running, running ? 1 : 0);
  }

  get hasMail(): boolean {
    return Atomics.load(this.#words, Word.Written) !== Atomics.load(this.#words, Word.Read);
  }

  /** A number to hand to {@link wait}, taken before the last look for mail. */
  get wake(): number {
    return Atomics.load(this.#words, Word.Wake);
  }

  /** Blocks until something was written after `seen` was taken, or for `milliseconds` at most. */
  wait(seen: number, milliseconds: number): void {
    Atomics.wait(this.#words, Word.Wake, seen, milliseconds);
  }

  /** Takes every whole frame. */
  *read(): Generator<Mail> {
    for (;;) {
      const read = Atomics.load(this.#words, Word.Read);
      const available = (Atomics.load(this.#words, Word.Written) - read) >>> 0;
      if (available === 0) return;
      const at = (read >>> 0) % RING;
      const count = this.#take(at, Math.min(available, RING - at));
      Atomics.store(this.#words, Word.Read, (read + count) | 0);
      // The page is told when enough room for a message has come together, not for every few bytes.
      if (available - count <= RING / 2 && Atomics.exchange(this.#words, Word.WantsRoom, 0) === 1) this.madeRoom();
      const frame = this.#frame;
      if (!frame || this.#filled < frame.length) continue;
      [this.#frame, this.#filled] = [undefined, 0];
      yield decode(frame);
    }
  }

  /** Copies what the next frame still lacks, so that each byte is copied once however long the frame is. Returns how many bytes that was. */
  #take(at: number, available: number): number {
    const into = this.#frame ?? this.#lengths;
    const count = Math.min(available, into.length - this.#filled);
    into.set(this.#ring.subarray(at, at + count), this.#filled);
    this.#filled += count;
    if (into === this.#lengths && this.#filled === LENGTHS) {
      this.#frame = new Uint8Array(new DataView(into.buffer).getUint32(0, true));
      this.#frame.set(into);
    }
    return count;
  }
}

function decode(frame: Uint8Array): Mail {
  const head = LENGTHS + new DataView(frame.buffer).getUint32(4, true);
  const mail = JSON.parse(new TextDecoder().decode(frame.subarray(LENGTHS, head))) as Mail & { bytes?: unknown };
  if (mail.bytes !== undefined) mail.bytes = frame.subarray(head);
  return mail;
}

function encode(mail: Mail): Uint8Array[] {
  const body = 'bytes' in mail && mail.bytes ? mail.bytes : undefined;
  const head = new TextEncoder().encode(JSON.stringify(body ? { ...mail, bytes: true } : mail));
  const frame = new Uint8Array(LENGTHS + head.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, frame.length + (body?.length ?? 0), true);
  view.setUint32(4, head.length, true);
  frame.set(head, LENGTHS);
  return body && body.length > 0 ? [frame, body] : [frame];
}
