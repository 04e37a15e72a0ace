/** Calls functions of the page's for what an agent tells, in slices: what else the page has to do has its turn between them. */
import { reportThrown } from '../both/errors.js';
import { turn } from '../both/turn.js';

/** Milliseconds that such functions may take before the event loop comes round. */
const TELLING_MAX = 8;
/** Calls of them before it does, at most. */
const CALLS_MAX = 256;

export class Telling {
  /** What is to be told, in its order; each step calls one function, or tells the worker that what came before was told. */
  readonly #queue: Iterator<unknown>[] = [];
  #taken = 0;
  #calls = 0;
  /** A slice is under way, or the event loop is waited for. */
  #busy = false;

  /** Takes the steps after all that was given before: at once where these are done, and the slice is not. */
  add(steps: Iterable<unknown>): void {
    this.#queue.push(steps[Symbol.iterator]());
    if (!this.#busy) this.#run();
  }

  #run(): void {
    this.#busy = true;
    while (this.#queue.length > 0) {
      if (this.#taken >= TELLING_MAX || this.#calls >= CALLS_MAX) return this.#pause();
      const begun = performance.now();
      if (this.#step(this.#queue[0]!)) this.#queue.shift();
      else this.#calls += 1;
      this.#taken += performance.now() - begun;
    }
    this.#busy = false;
  }

  /** Whether there are no more of these steps. What one throws ends them, and no others: those behind may be the agent's end. */
  #step(steps: Iterator<unknown>): boolean {
    try {
      return steps.next().done === true;
    } catch (error) {
      reportThrown(error);
      return true;
    }
  }

  /** Goes on when the event loop has come round. */
  #pause(): void {
    void turn().then(() => {
      this.#taken = this.#calls = 0;
      this.#run();
    });
  }
}
