/** Memories of the engine, which a page has a fixed number of. */
import { messageOf } from '../both/errors.js';

/** Milliseconds between two tries, and all of them together: longer than a thread of a busy machine takes to end. */
const PAUSES = [20, 40, 80, 160, 320, 640, 1_280];

/**
 * Makes what needs a memory of the engine's. Where there is no room it is tried again for two and a half seconds, until `ended` says that nobody needs it
 * any more: the memories of a worker that was ended are free when its thread is, and nothing tells when that was.
 *
 * @throws what `make` does, at once where it is something else, and at last
 */
export async function whenThereIsRoom<Made>(make: () => Made, ended: () => boolean = () => false): Promise<Made> {
  for (const pause of PAUSES) {
    try {
      return make();
    } catch (error) {
      if (!isMemoryError(error) || ended()) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return make();
}

/** Whether the engine had no memory for something; each has its own types and words for that. */
export function isMemoryError(error: unknown): boolean {
  return /memory/i.test(messageOf(error)) && (error instanceof RangeError || /out of memory|allocat/i.test(messageOf(error)));
}
