/** What an agent makes its worker hold, by kind. */
import type { Holding, Usage } from './types.js';

/** All kinds, in the order in which the kernel lists their bytes. */
const HOLDINGS: readonly Holding[] = ['memory', 'tables', 'files', 'descriptors', 'transfers', 'programs'];

/** Names the bytes that the kernel lists in the order of the kinds; 0 for kinds that are missing at the end. */
export function heldOf(bytes: readonly number[]): Record<Holding, number> {
  return Object.fromEntries(HOLDINGS.map((kind, index) => [kind, bytes[index] ?? 0])) as Record<Holding, number>;
}

/** The usage of an agent that has used nothing, or whose usage is no longer known. */
export function noUsage(): Usage {
  return { memory: 0, calls: 0, bytesRead: 0, bytesWritten: 0, filesPeak: 0, held: heldOf([]), heldPeak: 0 };
}
