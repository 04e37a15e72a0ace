import { Capfs, type Agent, type CapfsOptions } from 'capfs/full';
import type { Capfs as Either } from 'capfs';

/** The entry with the larger kernel has the types of the other. */
export async function full(module: Uint8Array<ArrayBuffer>, options: Omit<CapfsOptions, 'capabilities'>): Promise<number> {
  using capfs: Capfs = await Capfs.create(options);
  const either: Either = capfs;
  const agent: Agent = await either.spawn(module, { grants: ['crypto'] });
  return (await agent.exit).code;
}

// @ts-expect-error its kernel is the larger one
export const small = () => Capfs.create({ capabilities: false });
