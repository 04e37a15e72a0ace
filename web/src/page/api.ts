/** What both entries export. */
export { Agent } from './agent.js';
export { Capfs } from './capfs.js';
export { CapfsError } from '../both/errors.js';
export type { CapfsErrorCode, Errno } from '../both/errors.js';
export type * from '../both/types.js';
