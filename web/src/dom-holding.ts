/** What an agent has of a page, in characters. */
import { CapfsError } from './errors.js';

/** Characters that an agent may have on a page and in elements off it, at most, each node counted as {@link NODE}: 64 Mi. */
const HELD_MAX = 64 << 20;
/** What a node counts as beside its characters, and a kind of events that an element listens for. */
export const NODE = 128;
/** Milliseconds between two counts of what an agent has, at least. */
const COUNT_EVERY = 1_000;
/** A count looks at every node; so many times as long as the last one took there is no other. */
const COUNT_SHARE = 20;

export class Holding {
  /** What it has at most: what was counted last, and all that it has made since. */
  #held = 0;
  /** When it may be counted again. */
  #next = -Infinity;

  /** @param count what is there, node by node */
  constructor(private readonly count: () => number) {}

  get held(): number {
    return this.#held;
  }

  /**
   * Counts what is about to be made; where that would be too much, what is still there is counted first.
   *
   * @throws CapfsError `ENOMEM`
   */
  charge(amount: number): void {
    if (this.#held + amount > HELD_MAX && performance.now() >= this.#next) {
      const begun = performance.now();
      this.#held = this.count();
      const ended = performance.now();
      this.#next = ended + Math.max(COUNT_EVERY, COUNT_SHARE * (ended - begun));
    }
    if (this.#held + amount > HELD_MAX) throw new CapfsError('ENOMEM', `an agent may have ${HELD_MAX} characters on a page, each node counted as ${NODE}`);
    this.#held += amount;
  }

  /** Nothing is left of what was made since it had so much. */
  undo(held: number): void {
    this.#held = Math.min(this.#held, held);
  }
}
