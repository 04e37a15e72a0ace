/** Operations that a signal gives up. */
import { unlessAborted } from '../both/abort.js';

/**
 * What an operation comes to, unless the signal is aborted first: then `cancel` is called, once, and what the operation comes to is nobody's.
 *
 * @throws CapfsError `ABORTED`
 */
export function cancellable<Value>(operation: Promise<Value>, signal: AbortSignal | undefined, what: string, cancel: () => void): Promise<Value> {
  if (!signal) return operation;
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return unlessAborted(operation, signal, what).finally(() => signal.removeEventListener('abort', cancel));
}
