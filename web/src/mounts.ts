/** Loads what mounts are made of, so that a worker gets bytes alone. */
import { watch, type Tell } from './arriving.js';
import { CapfsError } from './errors.js';
import { platform } from './platform.js';
import { shown, versionOf } from './program.js';
import type { AgentConfig, MountMember } from './protocol.js';
import type { Mount } from './types.js';

/** Bytes of an unpacked archive, at most: 1 GiB. A small file may unpack to a very large one. */
const ARCHIVE_MAX = 2 ** 30;
/** Bytes of stored files, unless told: 1 GiB. */
const STORED_DEFAULT = 2 ** 30;

/** Loads every mount's data, in the order given; aborted, what is on its way is given up. `progress` is told of archives that arrive. */
export function loadMounts(mounts: Record<string, Mount | Mount[]>, signal: AbortSignal, progress?: Tell): Promise<AgentConfig['mounts']> {
  return Promise.all(
    Object.entries(mounts).map(async ([path, mount]): Promise<[string, MountMember[]]> => {
      const members = Array.isArray(mount) ? mount : [mount];
      return [path, await Promise.all(members.map((member) => load(member, signal, progress)))];
    }),
  );
}

async function load(mount: Mount, signal: AbortSignal, progress: Tell | undefined): Promise<MountMember> {
  switch (mount.type) {
    case 'memory': {
      const files = Object.entries(mount.files ?? {}).map(([path, data]): [string, Uint8Array] => [
        path,
        typeof data === 'string' ? new TextEncoder().encode(data) : data,
      ]);
      return { type: 'memory', files, writable: mount.rights !== 'ro' };
    }
    case 'archive':
      return { type: 'archive', tar: await unpacked(mount.data, signal, progress) };
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

/** An archive that was unpacked, and of what. */
interface Unpacked {
  version: string;
  tar: Promise<Uint8Array>;
}

/** Archives unpacked before, by their bytes, for as long as the page has those, and by their addresses. */
const ofBytes = new WeakMap<ArrayBufferLike, Unpacked>();
const ofAddresses = new Map<string, Unpacked>();
/** Addresses whose archives are kept, the last that were used. */
const KEPT_MAX = 4;
/** Bytes of an unpacked archive up to which it is kept. */
const KEPT_SIZE_MAX = 64 << 20;
/** Bytes at a gzip file's end: the checksum and the length of what is packed. */
const TRAILER = 8;

/** The tar of an archive; one that is mounted again and again is unpacked once. */
async function unpacked(data: BufferSource | URL | string, signal: AbortSignal, progress: Tell | undefined): Promise<Uint8Array> {
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (!isGzip(bytes)) return bytes;
    // Whoever has written something else into them has another checksum at their end.
    const version = `${bytes.byteOffset} ${bytes.length} ${bytes.subarray(-TRAILER).join(' ')}`;
    return kept(ofBytes, bytes.buffer, version, async () => bytes);
  }
  const address = String(data);
  const response = await archiveResponse(address, signal);
  const version = versionOf(response);
  let mine = false;
  const load = async () => {
    mine = true;
    try {
      watch(response, address, progress);
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      throw unloadable(address, error);
    }
  };
  if (version === undefined) return unpack(await load());
  if (ofAddresses.get(address)?.version === version) response.body?.cancel().catch(() => undefined);
  const tar = kept(ofAddresses, address, version, load);
  if (ofAddresses.size > KEPT_MAX) ofAddresses.delete(ofAddresses.keys().next().value!);
  try {
    return await tar;
  } catch (error) {
    // Somebody else began to load it, and gave up.
    if (!mine && !signal.aborted) return unpacked(data, signal, progress);
    throw error;
  }
}

/** What is kept of this version, or else what `load` brings, unpacked; small ones are kept. */
function kept<K>(known: { get(key: K): Unpacked | undefined; set(key: K, value: Unpacked): unknown; delete(key: K): boolean }, key: K, version: string, load: () => Promise<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  let entry = known.get(key);
  if (entry?.version !== version) entry = { version, tar: load().then(unpack) };
  const { tar } = entry;
  // Behind the others: the last that was used goes last.
  known.delete(key);
  known.set(key, entry);
  const forget = () => {
    if (known.get(key)?.tar === tar) known.delete(key);
  };
  tar.then(({ length }) => length > KEPT_SIZE_MAX && forget(), forget);
  return tar;
}

function unloadable(address: string, error: unknown): CapfsError {
  return new CapfsError('FETCH_FAILED', `the archive ${shown(address)} can't be loaded: ${(error as Error).message}`, { cause: error });
}

async function archiveResponse(address: string, signal: AbortSignal): Promise<Response> {
  try {
    const response = await platform().read(address, signal);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return response;
  } catch (error) {
    throw unloadable(address, error);
  }
}

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** Unpacks gzip, which is known by its first two bytes; anything else is a tar already. */
async function unpack(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (!isGzip(bytes)) return bytes;
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
