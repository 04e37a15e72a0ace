/** Calls the page's functions for an agent's audit and console, in slices, so that the page can do other work between them. */
import { reportThrown } from '../both/errors.js';
import { turn } from '../both/turn.js';

/** Milliseconds that the calls of one slice may take. */
const TELLING_MAX = 8;
/** Calls of one slice, at most. */
const CALLS_MAX = 256;

export class Telling {
  /** What is to be done, in order. Each step calls one function, or tells the worker that the calls before it have been made. */
  readonly #queue: Iterator<unknown>[] = [];
  #taken = 0;
  #calls = 0;
  /** A slice is under way, or the next one is waiting for the event loop. */
  #busy = false;

  /** Does these steps after all earlier ones: at once where those are done and the slice has time left. */
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

  /** Does one step. Returns whether it was the last. A step that throws ends its own series only: a later series may be the agent's end. */
  #step(steps: Iterator<unknown>): boolean {
    try {
      return steps.next().done === true;
    } catch (error) {
      reportThrown(error);
      return true;
    }
  }

  /** Goes on after one turn of the event loop. */
  #pause(): void {
    void turn().then(() => {
      this.#taken = this.#calls = 0;
      this.#run();
    });
  }
}
