/** An agent's standard streams on the page's side. */
import { CapfsError } from './errors.js';

/** Bytes of standard input on their way to the agent, at most; beyond it a write waits. */
const INPUT_WINDOW = 256 << 10;
/** Bytes of standard input in one message. */
const INPUT_CHUNK = 64 << 10;

/**
 * Standard output or error as a stream. What is not read fills a window, and then the agent waits; when the
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
   * @param close tells it that nobody reads any more
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
          const chunk = this.#chunks.shift();
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
    // Printed before the agent has heard that nobody reads any more.
    if (this.#cancelled) return;
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
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
  #closed: string | undefined;
  #wake: (() => void)[] = [];
  /** Writes go one after the other, whoever makes them. */
  #last: Promise<void> = Promise.resolve();
  readonly writable: WritableStream<string | Uint8Array>;

  constructor(
    private readonly send: (bytes: Uint8Array) => void,
    private readonly sendEnd: () => void,
  ) {
    this.writable = new WritableStream<string | Uint8Array>({
      write: (data) => this.write(data),
      close: () => this.close(),
      abort: () => this.close(),
    });
  }

  write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const written = this.#last.then(() => this.#send(bytes));
    this.#last = written.catch(() => undefined);
    return written;
  }

  close(): Promise<void> {
    return (this.#last = this.#last.then(() => {
      if (this.#closed !== undefined) return;
      this.#closed = 'standard input has been closed';
      this.sendEnd();
    }));
  }

  /** The agent has taken this much. */
  taken(count: number): void {
    this.#inFlight -= count;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** The agent has ended. */
  end(): void {
    this.#closed ??= 'the agent has ended';
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #send(bytes: Uint8Array): Promise<void> {
    let at = 0;
    do {
      while (this.#closed === undefined && this.#inFlight >= INPUT_WINDOW) {
        await new Promise<void>((wake) => this.#wake.push(wake));
      }
      if (this.#closed !== undefined) throw new CapfsError('CLOSED', this.#closed);
      const chunk = bytes.slice(at, at + INPUT_CHUNK);
      if (chunk.length === 0) return;
      at += chunk.length;
      this.#inFlight += chunk.length;
      this.send(chunk);
    } while (at < bytes.length);
  }
}
