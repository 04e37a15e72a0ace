/** Loads what mounts are made of, so that a worker gets bytes alone. */
import { CapfsError } from './errors.js';
import { platform } from './platform.js';
import type { AgentConfig, MountMember } from './protocol.js';
import type { Mount } from './types.js';

/** Bytes of an unpacked archive, at most: 1 GiB. A small file may unpack to a very large one. */
const ARCHIVE_MAX = 2 ** 30;
/** Bytes of stored files, unless told: 1 GiB. */
const STORED_DEFAULT = 2 ** 30;

/** Loads every mount's data, in the order given. */
export function loadMounts(mounts: Record<string, Mount | Mount[]>): Promise<AgentConfig['mounts']> {
  return Promise.all(
    Object.entries(mounts).map(async ([path, mount]): Promise<[string, MountMember[]]> => {
      const members = Array.isArray(mount) ? mount : [mount];
      return [path, await Promise.all(members.map(load))];
    }),
  );
}

async function load(mount: Mount): Promise<MountMember> {
  switch (mount.type) {
    case 'memory': {
      const files = Object.entries(mount.files ?? {}).map(([path, data]): [string, Uint8Array] => [
        path,
        typeof data === 'string' ? new TextEncoder().encode(data) : data,
      ]);
      return { type: 'memory', files, writable: mount.rights !== 'ro' };
    }
    case 'archive':
      return { type: 'archive', tar: await unpack(await archiveBytes(mount.data)) };
    case 'shared':
      return { type: 'shared', path: mount.path, writable: mount.rights !== 'ro' };
    case 'opfs': {
      const { directory = 'default', quota = STORED_DEFAULT, repair = false, rights } = mount;
      return { type: 'opfs', directory, quota, repair, writable: rights !== 'ro' };
    }
    case 'null':
    case 'zero':
      return { type: mount.type };
  }
}

async function archiveBytes(data: BufferSource | URL | string): Promise<Uint8Array<ArrayBuffer>> {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  try {
    const response = await platform().read(data as string | URL);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new CapfsError('FETCH_FAILED', `the archive ${String(data)} can't be loaded: ${(error as Error).message}`, { cause: error });
  }
}

/** Unpacks gzip, which is known by its first two bytes; anything else is a tar already. */
async function unpack(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > ARCHIVE_MAX) throw new Error(`it unpacks to more than ${ARCHIVE_MAX} bytes`);
      chunks.push(value);
    }
  } catch (error) {
    throw new CapfsError('ARCHIVE_INVALID', `the archive can't be unpacked: ${(error as Error).message}`, { cause: error });
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
