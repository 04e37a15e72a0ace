/** What an agent makes its worker hold, by kind. */
import type { Usage } from './types.js';

/** The usage of an agent that has used nothing, or whose usage is no longer known. */
export function noUsage(): Usage {
  const held = { memory: 0, tables: 0, files: 0, descriptors: 0, transfers: 0, programs: 0 };
  return { memory: 0, calls: 0, bytesRead: 0, bytesWritten: 0, filesPeak: 0, held, heldPeak: 0 };
}
