/** Whole-file access to a namespace: the page's own, or an agent's. */
import type { FileRequest } from './protocol.js';
import type { DirEntry, FileType, Stat } from './types.js';

/** By WASI's number of a file type. */
const TYPES: FileType[] = ['unknown', 'block-device', 'character-device', 'directory', 'file', 'datagram-socket', 'stream-socket', 'symlink'];

const typeOf = (kind: number): FileType => TYPES[kind] ?? 'unknown';

export abstract class FileAccess {
  protected abstract request(what: FileRequest, path: string, bytes?: Uint8Array): Promise<unknown>;

  async readFile(path: string): Promise<Uint8Array> {
    return (await this.request('read', path)) as Uint8Array;
  }

  /** Reads a file as UTF-8. */
  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.readFile(path));
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
