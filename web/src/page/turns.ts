/**
 * Spreads what an agent has the page's thread do: after each longer call the page has its turn, for as long as the call took. So an agent that
 * doesn't stop has half of the thread's time at most, however much each of its calls takes.
 */
import { turn } from '../both/turn.js';

/** Milliseconds that a call takes without anything to come after it: the event loop comes round between two calls anyway. */
const CALL_MAX = 4;

export class Turns {
  readonly #waiting: (() => void)[] = [];
  #paused = false;
  #ended = false;

  /** Makes a call behind those that were given before: at once, where it is not the page's turn. It must not throw. */
  add(call: () => void): void {
    if (this.#ended) return;
    this.#waiting.push(call);
    if (!this.#paused) this.#run();
  }

  /** Makes no calls any more, those included that wait. */
  end(): void {
    this.#ended = true;
    this.#waiting.length = 0;
  }

  #run(): void {
    for (let call = this.#waiting.shift(); call; call = this.#waiting.shift()) {
      const begun = performance.now();
      // What the call gives by itself comes behind it.
      this.#paused = true;
      call();
      this.#paused = false;
      const took = performance.now() - begun;
      if (took > CALL_MAX) return this.#pause(took);
    }
  }

  #pause(milliseconds: number): void {
    this.#paused = true;
    void rest(milliseconds).then(() => {
      this.#paused = false;
      this.#run();
    });
  }
}

/**
 * Resolves when the page has had so long for itself. Where it isn't seen its timers take up to a minute, and nothing of it is drawn: there the event loop comes
 * round.
 */
function rest(milliseconds: number): Promise<void> {
  return document.hidden ? turn() : new Promise((rested) => setTimeout(rested, milliseconds));
}
