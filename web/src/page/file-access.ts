/** Whole-file access to a namespace: the page's own, or an agent's. */
import { abortError, CapfsError } from '../both/errors.js';
import type { FileRequest } from '../both/protocol.js';
import type { FileEntry, FileStat } from '../kernel-bindings.js';
import type { Data, DirEntry, FileType, ReadOptions, Stat } from '../both/types.js';
import { readData, readPath, readReadOptions } from './start/options.js';

/** Bytes of a file that can be written at once: what a tree in memory holds at most. A kernel has no room for a copy of much more. */
const WRITE_MAX = 2 ** 30;

/** By WASI's number of a file type. */
const TYPES: FileType[] = ['unknown', 'block-device', 'character-device', 'directory', 'file', 'datagram-socket', 'stream-socket', 'symlink'];

const typeOf = (kind: number): FileType => TYPES[kind] ?? 'unknown';

/** Arguments are checked before the kernel gets them: it trusts its caller, and a wrong type would make it trap. */
export abstract class FileAccess {
  protected abstract request(what: FileRequest, path: string, bytes?: Uint8Array, reading?: ReadOptions): Promise<unknown>;

  /**
   * Reads a file to its end. Reading a device does what the device does: it may wait, and what it gives is gone for others.
   *
   * @throws CapfsError `OPTION_INVALID`, as the other methods, for arguments that it can't have; `EFBIG` for what is longer than `maxBytes`; `ABORTED`
   */
  async readFile(path: string, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    readPath(path);
    const reading = readReadOptions(options);
    if (reading.signal?.aborted) throw abortError(reading.signal, `reading ${path}`);
    return (await this.request('read', path, undefined, reading)) as Uint8Array<ArrayBuffer>;
  }

  /** Reads a program for a task, which counts as what this holds. Not for users. */
  async readProgram(path: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.request('program', path, undefined, { signal })) as Uint8Array<ArrayBuffer>;
  }

  /** Reads a file as UTF-8; see {@link readFile}. */
  async readText(path: string, options?: ReadOptions): Promise<string> {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await this.readFile(path, options));
  }

  /**
   * Writes a whole file; makes its parent directories.
   *
   * @throws CapfsError `EFBIG` for more than 1 GiB
   */
  async writeFile(path: string, data: Data): Promise<void> {
    readPath(path);
    const bytes = readData(data, 'what is written to a file');
    if (bytes.length > WRITE_MAX) throw new CapfsError('EFBIG', `write ${path}: ${bytes.length} bytes are more than the ${WRITE_MAX} that can be written at once`);
    await this.request('write', path, bytes);
  }

  async readDir(path: string): Promise<DirEntry[]> {
    const entries = (await this.request('list', readPath(path))) as FileEntry[];
    return entries.map(({ name, kind }) => ({ name, type: typeOf(kind) }));
  }

  /** What is known about a file; a symbolic link is followed. */
  async stat(path: string): Promise<Stat> {
    const { kind, ...known } = (await this.request('stat', readPath(path))) as FileStat;
    return { type: typeOf(kind), ...known };
  }

  /** Makes a directory and its parents, as far as they are missing. */
  async makeDir(path: string): Promise<void> {
    await this.request('make-dir', readPath(path));
  }

  /** Removes a file, or a directory with everything in it. */
  async remove(path: string): Promise<void> {
    await this.request('remove', readPath(path));
  }
}
