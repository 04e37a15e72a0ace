/** Loads the data of mounts, so that a worker is sent nothing but bytes. */
import { CapfsError, shownAddress, unloadable } from '../../both/errors.js';
import type { AgentConfig, MountMember } from '../../both/protocol.js';
import type { Mount } from '../../both/types.js';
import { viewOf } from '../bytes.js';
import { platform } from '../platform.js';
import { watch, type Tell } from './arriving.js';
import { TRAILER, isGzip, memberEnds, unpackedMembers } from './gzip.js';
import { readData } from './options.js';
import { versionOf } from './program.js';

/** Bytes of an archive, at most, as it comes and unpacked: 1 GiB, as natively. A small file may unpack to a very large one. */
const ARCHIVE_MAX = 2 ** 30;
/** Bytes that one byte of deflate unpacks to, at most. */
const DEFLATE_MAX = 1032;
/** Bytes of stored files, unless told: 1 GiB. */
const STORED_DEFAULT = 2 ** 30;

/** What an agent's worker is to mount. */
export interface Loaded {
  mounts: AgentConfig['mounts'];
  /** Buffers of theirs that nothing else uses: they are transferred to the worker instead of copied. */
  own: ArrayBuffer[];
}

/**
 * Loads every mount's data, in the order given. An abort gives up downloads. `progress` is told of archives that arrive. Data that was given as bytes is
 * copied before this returns, so that later changes have no effect.
 */
export async function loadMounts(mounts: Record<string, Mount | Mount[]>, signal: AbortSignal, progress?: Tell): Promise<Loaded> {
  const own: ArrayBuffer[] = [];
  const loaded = Object.entries(mounts).map(async ([path, mount]) => {
    const members = Array.isArray(mount) ? mount : [mount];
    return { path, members: await Promise.all(members.map((member) => load(member, own, signal, progress))) };
  });
  return { mounts: await Promise.all(loaded), own };
}

async function load(mount: Mount, own: ArrayBuffer[], signal: AbortSignal, progress: Tell | undefined): Promise<MountMember> {
  switch (mount.type) {
    case 'memory': {
      const files = Object.entries(mount.files ?? {}).map(([path, data]) => {
        const bytes = readData(data, `the file ${path}`).slice();
        own.push(bytes.buffer);
        return { path, bytes };
      });
      return { type: 'memory', files, writable: mount.rights !== 'ro' };
    }
    case 'archive':
      return { type: 'archive', tar: await unpacked(mount.data, own, signal, progress) };
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

/** An unpacked archive and its source; `users` is how many have asked for it. */
interface Unpacked {
  version: string;
  tar: Promise<Uint8Array<ArrayBuffer>>;
  users: number;
}

/** Archives that were unpacked before, by their bytes (as long as the page holds those) and by their addresses. */
const ofBytes = new WeakMap<ArrayBufferLike, Unpacked>();
const ofAddresses = new Map<string, Unpacked>();
/** How many addresses' archives are kept: the last that were used. */
const ARCHIVES_MAX = 4;
/** Bytes of an unpacked archive up to which it is kept. */
const KEPT_SIZE_MAX = 64 << 20;

/**
 * A checksum of all bytes, by which it is noticed that they were changed in place: FNV-1a twice, with two primes. The checksum at the end of a gzip file is of
 * its last member alone.
 */
function sumOf(bytes: Uint8Array): string {
  let [one, other] = [0x811c9dc5, 0x811c9dc5];
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x5bd1e995);
  }
  return `${one} ${other}`;
}

/** The tar of an archive; one that is mounted again and again is unpacked once. */
async function unpacked(
  data: Extract<Mount, { type: 'archive' }>['data'],
  own: ArrayBuffer[],
  signal: AbortSignal,
  progress: Tell | undefined,
): Promise<Uint8Array> {
  const mine = (tar: Uint8Array<ArrayBuffer>) => {
    own.push(tar.buffer);
    return tar;
  };
  const bytes = viewOf(data) as Uint8Array<ArrayBuffer> | undefined;
  if (bytes) {
    if (bytes.length > ARCHIVE_MAX) throw tooLong('is longer than');
    if (!isGzip(bytes)) return mine(bytes.slice());
    // What is too long to be kept unpacked nearly always is too long packed.
    if (bytes.length > KEPT_SIZE_MAX) return mine(await unpack(bytes));
    return kept(ofBytes, bytes.buffer, `${bytes.byteOffset} ${bytes.length} ${sumOf(bytes)}`, () => unpack(bytes), own);
  }
  const address = String(data);
  const response = await archiveResponse(address, signal);
  const version = versionOf(response);
  let loads = false;
  const load = async () => {
    loads = true;
    return unpack(await arrived(response, address, progress));
  };
  if (version === undefined) return mine(await load());
  if (ofAddresses.get(address)?.version === version) response.body?.cancel().catch(() => undefined);
  const tar = kept(ofAddresses, address, version, load, own);
  if (ofAddresses.size > ARCHIVES_MAX) ofAddresses.delete(ofAddresses.keys().next().value!);
  try {
    return await tar;
  } catch (error) {
    // Another start began to load it, and was given up.
    if (!loads && !signal.aborted) return unpacked(data, own, signal, progress);
    throw error;
  }
}

/** The kept archive of this version, or else what `load` returns. Small ones are kept; a large one is `own` if nothing else asked for it. */
async function kept<K>(
  known: { get(key: K): Unpacked | undefined; set(key: K, value: Unpacked): unknown; delete(key: K): boolean },
  key: K,
  version: string,
  load: () => Promise<Uint8Array<ArrayBuffer>>,
  own: ArrayBuffer[],
): Promise<Uint8Array> {
  let entry = known.get(key);
  if (entry?.version !== version) entry = { version, tar: load(), users: 0 };
  entry.users += 1;
  const { tar } = entry;
  // Moved to the end: the one that was used last is dropped last.
  known.delete(key);
  known.set(key, entry);
  const forget = () => {
    if (known.get(key)?.tar === tar) known.delete(key);
  };
  tar.then(({ length }) => length > KEPT_SIZE_MAX && forget(), forget);
  const { buffer } = await tar;
  // It has been dropped by now, so no other start will use these bytes.
  if (buffer.byteLength > KEPT_SIZE_MAX && entry.users === 1) own.push(buffer);
  return tar;
}

const tooLong = (how: string) => new CapfsError('ARCHIVE_INVALID', `the archive ${how} ${ARCHIVE_MAX} bytes`);

/** Loads what is at an address, up to the length that an archive may have. */
async function arrived(response: Response, address: string, progress: Tell | undefined): Promise<Uint8Array<ArrayBuffer>> {
  const length = Number(response.headers.get('Content-Length'));
  if (length > ARCHIVE_MAX) {
    response.body?.cancel().catch(() => undefined);
    throw tooLong('is longer than');
  }
  try {
    watch(response, address, progress);
    return response.body ? await gathered(response.body, 0, 'is longer than') : new Uint8Array();
  } catch (error) {
    throw error instanceof CapfsError ? error : unloadable(`the archive ${shownAddress(address)}`, error);
  }
}

/** Reads all of a stream into one buffer; `expected` is a guess at its length. Gives up at the length that an archive may have. */
async function gathered(stream: ReadableStream<Uint8Array>, expected: number, how: string): Promise<Uint8Array<ArrayBuffer>> {
  let whole = new Uint8Array(expected);
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return size === whole.length ? whole : whole.slice(0, size);
    const needed = size + value.length;
    if (needed > ARCHIVE_MAX) {
      reader.cancel().catch(() => undefined);
      throw tooLong(how);
    }
    if (needed > whole.length) {
      const larger = new Uint8Array(Math.min(ARCHIVE_MAX, Math.max(needed, 2 * whole.length)));
      larger.set(whole.subarray(0, size));
      whole = larger;
    }
    whole.set(value, size);
    size = needed;
  }
}

async function archiveResponse(address: string, signal: AbortSignal): Promise<Response> {
  try {
    const response = await platform().read(address, signal);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return response;
  } catch (error) {
    throw unloadable(`the archive ${shownAddress(address)}`, error);
  }
}

/** Unpacks gzip, which is known by its first two bytes; anything else is a tar already. */
async function unpack(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (!isGzip(bytes)) return bytes;
  // The last bytes say how long the (last) member is when unpacked, modulo 4 GiB. If that is too long, unpacking isn't begun; otherwise a buffer of
  // that length is made. A false length is capped by what this many packed bytes can become.
  const told = bytes.length < TRAILER ? 0 : new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 4).getUint32(0, true);
  if (told > ARCHIVE_MAX) throw tooLong(`unpacks to ${told} bytes by what it says, more than`);
  const most = Math.min(told, DEFLATE_MAX * bytes.length);
  // A copy, so that later changes of the bytes have no effect.
  const file = new Blob([bytes]);
  const unpackedBy = (ends?: number[]) => gathered(unpackedMembers(file, ends), most, 'unpacks to more than');
  const whole = await unpackedBy().catch((error: unknown) => {
    if (error instanceof CapfsError) throw error;
  });
  // Nearly always there is one member. Where there are more, engines differ in what they do with those behind it.
  if (whole?.length === told) return whole;
  try {
    return await unpackedBy(await memberEnds(new Uint8Array(await file.arrayBuffer())));
  } catch (error) {
    if (error instanceof CapfsError) throw error;
    throw new CapfsError('ARCHIVE_INVALID', `the archive can't be unpacked: ${(error as Error).message}`, { cause: error });
  }
}
