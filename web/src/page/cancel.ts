/** Operations that a signal can give up. */
import { unlessAborted } from '../both/abort.js';

/**
 * Waits for an operation, unless the signal is aborted first: then `cancel` is called, once, and the outcome of the operation is ignored.
 *
 * @throws CapfsError `ABORTED`
 */
export function cancellable<Value>(operation: Promise<Value>, signal: AbortSignal | undefined, what: string, cancel: () => void): Promise<Value> {
  if (!signal) return operation;
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return unlessAborted(operation, signal, what).finally(() => signal.removeEventListener('abort', cancel));
}
