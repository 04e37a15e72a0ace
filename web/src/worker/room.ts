/** Retries for what needs a WebAssembly memory: an engine has room for a fixed number of them in a page. */
import { messageOf } from '../both/errors.js';

/** Milliseconds between two tries. Together they are longer than a thread takes to end on a busy machine. */
const PAUSES = [20, 40, 80, 160, 320, 640, 1_280];

/**
 * Makes something that needs a memory. Where the engine has no room, tries again for two and a half seconds, unless `ended` says that it is not needed
 * any more. The memories of a terminated worker become free when its thread ends, and no event says when that is.
 *
 * @throws what `make` throws: at once where it is not for lack of memory, else from the last try
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

/** Whether an error means that the engine had no memory. Each engine has its own type and message for it. */
export function isMemoryError(error: unknown): boolean {
  return /memory/i.test(messageOf(error)) && (error instanceof RangeError || /out of memory|allocat/i.test(messageOf(error)));
}
