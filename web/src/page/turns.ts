/**
 * Limits how much of the page's thread an agent's requests take: after each longer call the page has the thread for as long as the call took. So an agent that
 * doesn't stop gets half of the thread's time at most, however long each of its calls takes.
 */
import { turn } from '../both/turn.js';

/** Milliseconds that a call may take without a pause after it: the event loop runs between two calls anyway. */
const CALL_MAX = 4;

export class Turns {
  readonly #waiting: (() => void)[] = [];
  #paused = false;
  #ended = false;

  /** Makes a call after all earlier ones; at once where there is none and no pause. It must not throw. */
  add(call: () => void): void {
    if (this.#ended) return;
    this.#waiting.push(call);
    if (!this.#paused) this.#run();
  }

  /** Makes no more calls, not even those that wait. */
  end(): void {
    this.#ended = true;
    this.#waiting.length = 0;
  }

  #run(): void {
    for (let call = this.#waiting.shift(); call; call = this.#waiting.shift()) {
      const begun = performance.now();
      // Calls that this call adds come after it.
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
 * Resolves when the page has had the thread for this time. In a hidden page, whose timers may take a minute and which draws nothing, after one turn of the event
 * loop.
 */
function rest(milliseconds: number): Promise<void> {
  return document.hidden ? turn() : new Promise((rested) => setTimeout(rested, milliseconds));
}
