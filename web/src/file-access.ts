/** Whole-file access to a namespace: the page's own, or an agent's. */
import type { FileRequest } from './protocol.js';
import { abortError, CapfsError } from './errors.js';
import type { DirEntry, FileType, ReadOptions, Stat } from './types.js';

/** By WASI's number of a file type. */
const TYPES: FileType[] = ['unknown', 'block-device', 'character-device', 'directory', 'file', 'datagram-socket', 'stream-socket', 'symlink'];

const typeOf = (kind: number): FileType => TYPES[kind] ?? 'unknown';

export abstract class FileAccess {
  protected abstract request(what: FileRequest, path: string, bytes?: Uint8Array, reading?: ReadOptions): Promise<unknown>;

  /**
   * Reads a file to its end. Reading a device does what the device does: it may wait, and what it gives is gone for others.
   *
   * @throws CapfsError `EFBIG` for what is longer than `maxBytes`; `ABORTED`
   */
  async readFile(path: string, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { maxBytes, signal } = options;
    if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes >= 0)) {
      throw new CapfsError('EINVAL', `maxBytes is a whole number of bytes, not ${String(maxBytes)}`);
    }
    if (signal?.aborted) throw abortError(signal, `reading ${path}`);
    const reading = { ...(maxBytes === undefined ? {} : { maxBytes }), ...(signal ? { signal } : {}) };
    return (await this.request('read', path, undefined, reading)) as Uint8Array<ArrayBuffer>;
  }

  /** Reads a program for a task, which counts as what this holds. Not for users. */
  async readProgram(path: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.request('program', path, undefined, { signal })) as Uint8Array<ArrayBuffer>;
  }

  /** Reads a file as UTF-8; see {@link readFile}. */
  async readText(path: string, options?: ReadOptions): Promise<string> {
    return new TextDecoder().decode(await this.readFile(path, options));
  }

  /** Writes a whole file; makes its parent directories. */
  async writeFile(path: string, data: string | Uint8Array): Promise<void> {
    await this.request('write', path, typeof data === 'string' ? new TextEncoder().encode(data) : data);
  }

  async readDir(path: string): Promise<DirEntry[]> {
    const entries = (await this.request('list', path)) as [string, number][];
    return entries.map(([name, kind]) => ({ name, type: typeOf(kind) }));
  }

  /** What is known about a file; a symbolic link is followed. */
  async stat(path: string): Promise<Stat> {
    const [kind, size, mtime, atime, ctime, nlink, ino] = (await this.request('stat', path)) as [number, number, number, number, number, number, number];
    return { type: typeOf(kind), size, mtime, atime, ctime, nlink, ino };
  }

  /** Makes a directory and its parents, as far as they are missing. */
  async makeDir(path: string): Promise<void> {
    await this.request('make-dir', path);
  }

  /** Removes a file, or a directory with everything in it. */
  async remove(path: string): Promise<void> {
    await this.request('remove', path);
  }
}
