/**
 * Narrowing a capability that an agent has, for one of its tasks. The narrowed one is made where the capability itself was made, and is handed on from kernel
 * to kernel down to the task's. So when one agent on the way loses it, all below lose it too.
 */
import { CapfsError, isErrno } from '../both/errors.js';
import { Peer, type NarrowRequest } from '../both/protocol.js';
import type { Agent } from './agent.js';
import type { DeviceWorker } from './device-worker.js';

type Made = [number: number, kind: number];

/**
 * Asks an agent's kernel for a narrowed capability; resolves to its tree there. With `check` nothing is made.
 *
 * @throws CapfsError an errno, and why
 */
export async function narrowed(agent: Agent, devices: DeviceWorker | undefined, wanted: NarrowRequest): Promise<Made> {
  const { client, tree, check } = wanted;
  const answer = await agent.narrow(wanted);
  if (answer[0] === 'refused') throw refused(answer);
  if (answer[0] === 'here') return made(answer);
  const [, peer, theirs, at] = answer;
  // In the kernel of that peer, this agent is the client.
  const less = { ...wanted, client: agent.id, tree: theirs };
  if (peer === Peer.Home) return [0, 0];
  const found = peer === Peer.Parent && agent.parent ? await narrowed(agent.parent, devices, less) : await byDevices(devices, peer, less);
  if (check) return found;
  const [number = 0, kind = 0] = await agent.adopt(client, tree, at, peer, found);
  return [number, kind];
}

/** Narrows by the device worker that has made the capability. A successor of that worker knows nothing of it. */
async function byDevices(devices: DeviceWorker | undefined, peer: Peer, wanted: NarrowRequest): Promise<Made> {
  const answer = devices?.peer === peer ? await devices.narrow(wanted) : undefined;
  if (answer?.[0] === 'refused') throw refused(answer);
  if (answer?.[0] !== 'here') throw new CapfsError('EIO', 'the capability is gone');
  return made(answer);
}

function refused([, errno, text]: ['refused', errno: string, text: string]): CapfsError {
  return new CapfsError(isErrno(errno) ? errno : 'EIO', text);
}

function made([, number = 0, kind = 0]: ['here', number?, number?]): Made {
  return [number, kind];
}
