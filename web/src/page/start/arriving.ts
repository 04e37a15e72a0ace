/** Reports the progress of downloads for a start. */
import type { Progress } from '../../both/types.js';

/** The function that progress is reported to. */
export type Tell = (progress: Progress) => void;

/**
 * Reports how much of a response has arrived, at each chunk. It reads a clone: the response itself must stay as the browser made it, or the browser doesn't
 * cache the compiled code. Errors are left to the reader of the response.
 */
export function watch(response: Response, address: string, tell: Tell | undefined): void {
  if (!tell || !response.body) return;
  const length = Number(response.headers.get('Content-Length'));
  // Of a compressed response it is the compressed length. A cross-origin server may not reveal that it has compressed: more may arrive than `total`.
  const total = length > 0 && response.headers.get('Content-Encoding') === null ? length : Infinity;
  const reader = response.clone().body!.getReader();
  let loaded = 0;
  const next = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      loaded += value.length;
      tell({ address, loaded, ...(loaded <= total && total < Infinity ? { total } : {}) });
    }
  };
  next().catch(() => undefined);
}
