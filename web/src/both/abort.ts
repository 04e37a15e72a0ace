/** Waiting that can be given up, and time limits of any length. */
import { abortError } from './errors.js';

/** The longest timer that the platform takes, in milliseconds: a longer one would fire at once. */
export const TIMER_MAX = 2 ** 31 - 1;

/**
 * Waits for a promise, unless the signal is aborted first. What the promise resolves to later is ignored: the caller must release what it
 * may hold.
 *
 * @throws CapfsError of {@link abortError}
 */
export function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal, what: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => undefined);
      return reject(abortError(signal, what));
    }
    const aborted = () => reject(abortError(signal, what));
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

/** Calls a function after a time in milliseconds, which may be longer than the platform's longest timer. Returns a function that cancels it. */
export function after(milliseconds: number, action: () => void): () => void {
  const due = performance.now() + milliseconds;
  let timer: ReturnType<typeof setTimeout>;
  const wait = (left: number) => {
    timer = setTimeout(() => (left > TIMER_MAX ? wait(due - performance.now()) : action()), Math.min(left, TIMER_MAX));
  };
  wait(milliseconds);
  return () => clearTimeout(timer);
}

/** One signal for every reason why an operation may be given up. */
export class Abortable {
  readonly #controller = new AbortController();
  readonly #given: AbortSignal | undefined;
  readonly #follow = (): void => this.#controller.abort(this.#given!.reason);

  constructor(given: AbortSignal | undefined) {
    this.#given = given;
    if (given?.aborted) this.#follow();
    else given?.addEventListener('abort', this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** The operation is done: stops listening to the given signal. */
  end(): void {
    this.#given?.removeEventListener('abort', this.#follow);
  }
}
