/** What both entries export. */
export { Agent } from './agent.js';
export { Capfs } from './capfs.js';
export { CapfsError } from './errors.js';
export type { CapfsErrorCode, Errno } from './errors.js';
export type * from './types.js';
