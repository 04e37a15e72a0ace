/** What an agent makes its worker hold, by what for. */
import type { Holding, Usage } from './types.js';

/** All kinds, in the order in which the kernel tells their bytes. */
const HOLDINGS: readonly Holding[] = ['memory', 'tables', 'files', 'descriptors', 'transfers', 'programs'];

/** What is held, of bytes in the order of the kinds; nothing of kinds that are not told. */
export function heldOf(bytes: readonly number[]): Record<Holding, number> {
  return Object.fromEntries(HOLDINGS.map((kind, index) => [kind, bytes[index] ?? 0])) as Record<Holding, number>;
}

/** Of an agent that has used nothing, or of which nobody can say any more what it has. */
export function noUsage(): Usage {
  return { memory: 0, calls: 0, bytesRead: 0, bytesWritten: 0, filesPeak: 0, held: heldOf([]), heldPeak: 0 };
}
