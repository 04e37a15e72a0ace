/** An agent's standard streams on the page's side. */
import { CapfsError, messageOf } from '../both/errors.js';
import type { Data } from '../both/types.js';
import { readData } from './start/options.js';

/** Bytes of standard input that may be on their way to the agent; beyond that a write waits. */
const INPUT_WINDOW = 256 << 10;
/** Bytes of standard input in one message. */
const INPUT_CHUNK = 64 << 10;
/** How error messages call it. */
const WRITTEN = 'what is written to an agent';
/** Bytes of the chunks that a reader of an output stream gets, where smaller pieces are joined. */
const OUTPUT_CHUNK = 64 << 10;

/**
 * Standard output or error as a stream. Unread output is bounded by a window, and when that is full the agent waits. When the
 * stream is cancelled, the agent's writes fail with `EPIPE`.
 */
export class OutputStream {
  #chunks: Uint8Array[] = [];
  #ended = false;
  #cancelled = false;
  #wake: (() => void) | undefined;
  readonly readable: ReadableStream<Uint8Array>;

  /**
   * @param acknowledge tells the agent how much was read
   * @param close tells the agent that nobody reads any more
   */
  constructor(
    private readonly acknowledge: (count: number) => void,
    close: () => void,
  ) {
    this.readable = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          while (this.#chunks.length === 0 && !this.#ended) {
            await new Promise<void>((wake) => {
              this.#wake = wake;
            });
          }
          const chunk = this.#take();
          if (!chunk) return controller.close();
          controller.enqueue(chunk);
          this.acknowledge(chunk.length);
        },
        cancel: () => {
          this.#cancelled = true;
          this.#chunks = [];
          this.#wake?.();
          close();
        },
      },
      { highWaterMark: 0 },
    );
    if (!(Symbol.asyncIterator in this.readable)) {
      Object.defineProperty(this.readable, Symbol.asyncIterator, { value: () => iterate(this.readable) });
    }
  }

  add(chunk: Uint8Array): void {
    // Printed before the agent was told that nobody reads any more.
    if (this.#cancelled) return;
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Drops unread output, and whatever is still printed. */
  discard(): void {
    this.#cancelled = true;
    const dropped = this.#chunks.splice(0).reduce((total, { length }) => total + length, 0);
    if (dropped > 0) this.acknowledge(dropped);
  }

  /** The output that is there, as one chunk: a program that prints single bytes must not cost its reader a turn for each. */
  #take(): Uint8Array | undefined {
    let [count, size] = [0, 0];
    while (count < this.#chunks.length && (count === 0 || size + this.#chunks[count]!.length <= OUTPUT_CHUNK)) size += this.#chunks[count++]!.length;
    if (count < 2) return this.#chunks.shift();
    const whole = new Uint8Array(size);
    let at = 0;
    for (const chunk of this.#chunks.splice(0, count)) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }
}

/** Iteration as the standard has it, for engines whose streams can't be iterated (WebKitGTK 2.50). */
async function* iterate(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
    reader.releaseLock();
  }
}

/** Standard input: sends as much as the agent has room for. */
export class InputStream {
  #inFlight = 0;
  #ended = false;
  #closed: string | undefined;
  #wake: (() => void)[] = [];
  /** The last write: writes from all sources go one after the other. */
  #last: Promise<void> = Promise.resolve();
  #controller!: WritableStreamDefaultController;
  #failure: string | undefined;
  #source: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly writable: WritableStream<string | Uint8Array>;

  /**
   * @param sendEnd ends the input; with `failed` the agent reads what came and then `EIO`
   * @param closed why nothing can be written from the start, where that is so
   */
  constructor(
    private readonly send: (bytes: Uint8Array) => void,
    private readonly sendEnd: (failed: boolean) => void,
    closed?: string,
  ) {
    this.writable = new WritableStream<string | Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (data) => this.write(data),
      close: () => this.close(),
      abort: (reason) => this.fail(reason),
    });
    if (closed !== undefined) this.#shut(closed);
  }

  /** The failure of its source, if that has failed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @throws CapfsError `OPTION_INVALID`; `CLOSED` */
  async write(data: Data): Promise<void> {
    const bytes = readData(data, WRITTEN);
    const written = this.#last.then(() => this.#send(bytes));
    this.#last = written.catch(() => undefined);
    return written;
  }

  close(): Promise<void> {
    return (this.#last = this.#last.then(() => {
      if (this.#closed !== undefined) return;
      this.#closed = 'standard input has been closed';
      this.sendEnd(false);
    }));
  }

  /** Ends the input because its source has failed, which must not look like a regular end to the agent. */
  fail(reason: unknown): void {
    if (this.#closed !== undefined) return;
    this.#failure = messageOf(reason);
    this.#closed = `standard input has failed: ${this.#failure}`;
    this.sendEnd(true);
    this.#wakeAll();
  }

  /** The agent has read this many bytes. */
  taken(count: number): void {
    this.#inFlight -= count;
    this.#wakeAll();
  }

  /**
   * Reads the input from a stream, which is cancelled and unlocked when the agent has ended. Not by `pipeTo`: Chromium's loses what was read just before
   * the stream fails.
   *
   * @throws CapfsError `OPTION_INVALID` where it is locked
   */
  from(stream: ReadableStream<Uint8Array>): void {
    if (stream.locked) throw new CapfsError('OPTION_INVALID', 'stdin is a stream that somebody began to read while the agent was started: it is locked');
    const reader = stream.getReader();
    this.#source = reader;
    void this.#pump(reader).then(() => reader.releaseLock());
    if (this.#ended) this.#cancel();
  }

  /** Never rejects. */
  async #pump(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (;;) {
      let next;
      try {
        next = await reader.read();
      } catch (error) {
        return this.fail(error);
      }
      if (next.done) return this.close();
      try {
        await this.write(next.value);
      } catch (error) {
        // The agent has ended meanwhile, or the chunk is nothing that can be written.
        this.fail(error);
        await reader.cancel(error).catch(() => undefined);
        return;
      }
    }
  }

  #cancel(): void {
    // What the source throws on being cancelled is ignored.
    void this.#source?.cancel(new CapfsError('CLOSED', 'the agent has ended')).catch(() => undefined);
  }

  /** The agent has ended. */
  end(): void {
    this.#ended = true;
    this.#shut('the agent has ended');
    this.#wakeAll();
    this.#cancel();
  }

  /** From now on nothing can be written. A stream that a user pipes into this one is cancelled by the error. */
  #shut(why: string): void {
    this.#closed ??= why;
    this.#controller.error(new CapfsError('CLOSED', why));
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #send(bytes: Uint8Array): Promise<void> {
    let at = 0;
    do {
      while (this.#closed === undefined && this.#inFlight >= INPUT_WINDOW) {
        await new Promise<void>((wake) => this.#wake.push(wake));
      }
      if (this.#closed !== undefined) throw new CapfsError('CLOSED', this.#closed);
      // The chunk's buffer may have been transferred since.
      const chunk = readData(bytes, WRITTEN).slice(at, at + INPUT_CHUNK);
      if (chunk.length === 0) return;
      at += chunk.length;
      this.#inFlight += chunk.length;
      this.send(chunk);
    } while (at < bytes.length);
  }
}
