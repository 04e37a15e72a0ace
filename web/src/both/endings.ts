/** The codes of agents that have not ended by themselves. */
import type { EndReason } from './protocol.js';

/** Ended from outside: what a shell makes of SIGKILL, and what timeout(1) answers. */
export const ENDINGS: Record<EndReason, number> = { killed: 137, timeout: 124 };
/** What a shell makes of a trap: SIGABRT's 134. */
export const TRAPPED = 134;
/** Its kernel failed, or the host lacked something: EX_SOFTWARE of sysexits(3). */
export const HOST_FAILED = 70;
