/** Hands an agent's output to the page: soon, but not one message for every byte. */

/** Bytes gathered at most before they are sent. */
const GATHER_MAX = 64 << 10;
/** Writes that may be sent at once, each as a message of its own (some 10 us). */
const BURST = 64;
/** Writes per millisecond that may be sent at once again: so sending takes a tenth of the time at most. */
const REFILL = 10;

export class OutputGate {
  #stream = 0;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #tokens = BURST;
  #refilled = 0;

  constructor(private readonly send: (stream: number, bytes: Uint8Array) => void) {}

  /**
   * Takes what the agent printed and sends it, unless the agent prints very often: then it waits for the
   * next {@link flush} (the worker's next tick, wait or end) or for enough to gather.
   */
  take(stream: number, bytes: Uint8Array): void {
    if (stream !== this.#stream) this.flush();
    this.#stream = stream;
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    if (this.#tokens === 0) {
      const now = Date.now();
      // A clock that was set back refills too: the burst is a matter of cost, not of correctness.
      this.#tokens = Math.min(BURST, Math.abs(now - this.#refilled) * REFILL);
      this.#refilled = now;
    }
    if (this.#tokens > 0) {
      this.#tokens--;
      this.flush();
    } else if (this.#size >= GATHER_MAX) {
      this.flush();
    }
  }

  /** Sends what is gathered. */
  flush(): void {
    if (this.#size === 0) return;
    let whole = this.#chunks[0]!;
    if (this.#chunks.length > 1) {
      whole = new Uint8Array(this.#size);
      let at = 0;
      for (const chunk of this.#chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
    }
    this.#chunks = [];
    this.#size = 0;
    this.send(this.#stream, whole);
  }
}
