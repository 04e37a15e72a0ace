/**
 * Narrowing a capability that an agent has, for one of its tasks. The narrowed one is made where the capability itself was made, and is handed on from kernel
 * to kernel down to the task's. So when one agent on the way loses it, all below lose it too.
 */
import { CapfsError, isErrno } from '../both/errors.js';
import { Peer, type Narrowing, type NarrowRequest, type RemoteTree } from '../both/protocol.js';
import type { Agent } from './agent.js';
import type { DeviceWorker } from './device-worker.js';

/** What stands for a tree where none was made. */
const NONE: RemoteTree = { number: 0, kind: 0 };

/**
 * Asks an agent's kernel for a narrowed capability; resolves to its tree there. With `check` nothing is made.
 *
 * @throws CapfsError an errno, and why
 */
export async function narrowed(agent: Agent, devices: DeviceWorker | undefined, wanted: NarrowRequest): Promise<RemoteTree> {
  const { client, tree, check } = wanted;
  const { there, ...answer } = await agent.narrow(wanted);
  if (!there) return made(answer);
  // In the kernel of that peer, this agent is the client.
  const less = { ...wanted, client: agent.id, tree: there.tree };
  if (there.peer === Peer.Home) return NONE;
  const found = there.peer === Peer.Parent && agent.parent ? await narrowed(agent.parent, devices, less) : await byDevices(devices, there.peer, less);
  return check ? found : agent.adopt(client, tree, there.at, there.peer, found);
}

/** Narrows by the device worker that has made the capability. A successor of that worker knows nothing of it. */
async function byDevices(devices: DeviceWorker | undefined, peer: Peer, wanted: NarrowRequest): Promise<RemoteTree> {
  return made(devices?.peer === peer ? await devices.narrow(wanted) : {});
}

/** The tree that a kernel has made, as it answers. */
function made({ here, refused }: Narrowing): RemoteTree {
  if (refused) throw new CapfsError(isErrno(refused.errno) ? refused.errno : 'EIO', refused.text);
  if (!here) throw new CapfsError('EIO', 'the capability is gone');
  return here.tree ?? NONE;
}
