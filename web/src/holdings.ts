/** What an agent makes its worker hold, by what for. */
import type { Holding } from './types.js';

/** All kinds, in the order in which the kernel tells their bytes. */
const HOLDINGS: readonly Holding[] = ['memory', 'tables', 'files', 'descriptors', 'transfers', 'programs'];

/** What is held, of bytes in the order of the kinds; nothing of kinds that are not told. */
export function heldOf(bytes: readonly number[]): Record<Holding, number> {
  return Object.fromEntries(HOLDINGS.map((kind, index) => [kind, bytes[index] ?? 0])) as Record<Holding, number>;
}
