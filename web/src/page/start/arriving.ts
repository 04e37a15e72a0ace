/** How much of what an agent is started with has arrived. */
import type { Progress } from '../../both/types.js';

/** Who is told of it. */
export type Tell = (progress: Progress) => void;

/**
 * Tells how much of a response has arrived, at each piece of it. A copy is read for that: the response itself stays the browser's own, with which that
 * keeps the compiled code. What the response fails with is for its reader to say.
 */
export function watch(response: Response, address: string, tell: Tell | undefined): void {
  if (!tell || !response.body) return;
  const length = Number(response.headers.get('Content-Length'));
  // Of what was compressed for its way it is the length on the way, and another server doesn't say that it was.
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
