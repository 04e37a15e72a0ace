/** What the package knows of devices beside the types of their grants. Written by `node scripts/devices.mjs` from the `device.json` of each device. */

/** Devices of every kernel: what they do, the platform answers at once, without the event loop. The others are in the kernel with `capabilities` alone. */
export const IN_EVERY_KERNEL: ReadonlySet<string> = new Set(['console', 'opfs', 'random']);

/** Devices that keep something under the agent's identity: where there is this global, and unless a term is there with one of these values, or with any. */
export const KEEPING: ReadonlyMap<string, { in?: string; unless: ReadonlyMap<string, readonly string[]> }> = new Map([
  ['crypto', { in: 'indexedDB', unless: new Map<string, string[]>([['name', []], ['persist', ['no', 'false']]]) }],
  ['indexeddb', { unless: new Map<string, string[]>([['name', []]]) }],
  ['opfs', { unless: new Map<string, string[]>([['name', []]]) }],
]);
