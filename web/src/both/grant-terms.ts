/** Grants, and what the values of their terms are. */
import type { GrantTerms } from './device-grants.js';

export type * from './device-grants.js';

/**
 * A capability: a device of `/cap`, and the terms on which the agent has it. A flag as `capfs-host run --grant` takes it, or
 * the same as an object, in which a list repeats its key. What a page's user types is best handed on as a flag.
 */
export type Grant = string | GrantTerms;

/** The devices that can be granted. */
export type DeviceName = GrantTerms['device'];

/** One value, or several that all count. */
export type OneOrMore<T> = T | readonly T[];
/** Bytes, bare or with a unit. */
export type Size = number | `${number}` | `${number}${'B' | 'KiB' | 'MiB' | 'GiB' | 'KB' | 'MB' | 'GB'}`;
/** A length of time; a bare number is milliseconds. */
export type Duration = number | `${number}` | `${number}${'ms' | 's' | 'm' | 'h'}`;
/** So many in a second or in a minute. */
export type Rate = `${number}/${'s' | 'm'}`;
/** As flags have it, or as programs do. */
export type YesNo = boolean | 'yes' | 'no';
/** A whole number that is at least 1. */
export type Count = number | `${number}`;
