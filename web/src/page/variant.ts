/** Finds out what the engine can do, by trying it. */
import { CapfsError } from '../both/errors.js';
import type { MemoryVariant, Variant, WaitVariant } from '../both/types.js';

/** A module with two memories: `(module (memory 0) (memory 0))`. */
const TWO_MEMORIES = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 5, 2, 0, 0, 0, 0);

const WAITS: Record<WaitVariant, { available: () => boolean; needs: string }> = {
  sab: {
    available: () => sharedMemory(),
    needs: 'SharedArrayBuffer, which a page has when it is cross-origin isolated',
  },
  jspi: {
    available: () => typeof WebAssembly.Suspending === 'function' && typeof WebAssembly.promising === 'function',
    needs: 'JavaScript Promise Integration (Chromium 137, Firefox 153)',
  },
  none: { available: () => true, needs: 'nothing' },
};

const MEMORIES: Record<MemoryVariant, { available: () => boolean; needs: string }> = {
  multi: { available: () => WebAssembly.validate(TWO_MEMORIES), needs: 'WebAssembly with several memories' },
  single: { available: () => true, needs: 'nothing' },
};

/** Node always has shared memory; a page where it is cross-origin isolated. */
function sharedMemory(): boolean {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  return typeof SharedArrayBuffer === 'function' && isolated !== false;
}

/**
 * The best variant that the engine has, with what is forced. Where there is shared memory it comes
 * first: blocking on it costs an agent nothing while it doesn't wait.
 *
 * @throws CapfsError `VARIANT_UNAVAILABLE`
 */
export function chooseVariant(forced: Partial<Variant> = {}): Variant {
  return { wait: choose('wait', WAITS, forced.wait), memory: choose('memory', MEMORIES, forced.memory) };
}

function choose<Name extends string>(
  what: string,
  table: Record<Name, { available: () => boolean; needs: string }>,
  forced: Name | undefined,
): Name {
  if (forced !== undefined) {
    const entry = Object.hasOwn(table, forced) ? table[forced] : undefined;
    if (!entry) throw new CapfsError('VARIANT_UNAVAILABLE', `there is no ${what} variant called ${forced}`);
    if (!entry.available()) {
      throw new CapfsError('VARIANT_UNAVAILABLE', `the ${what} variant ${forced} needs ${entry.needs}, which this engine does not have here`);
    }
    return forced;
  }
  const names = Object.keys(table) as Name[];
  return names.find((name) => table[name].available())!;
}
