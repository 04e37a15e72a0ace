/** The entry `capfs/full` in Node: the package with the kernel that has the capabilities of the web platform. */
import { Capfs as Either } from './node.js';
import type { CapfsOptions } from './node.js';

export * from './node.js';

/** What `capfs` exports by this name, made with `capabilities: true`. */
export type Capfs = Either;
export const Capfs = {
  /** As `Capfs.create` of `capfs`, with the larger kernel. */
  create: (options: Omit<CapfsOptions, 'capabilities'> = {}): Promise<Either> => Either.create({ ...options, capabilities: true }),
};
