/** What a start needs, as the launcher and the C editor put it together. */
import { CapfsError, type SpawnOptions, type Variant } from 'capfs';

/** Everything that starting one agent takes; kept by its tab so that it can be started again. */
export interface Launch {
  /** The tab's name. */
  readonly title: string;
  /** An address, or the module's bytes. */
  readonly program: URL | Uint8Array<ArrayBuffer>;
  readonly name: string;
  /** Who the agent is, for what it keeps; the digest of the program where there is none. */
  readonly id?: string;
  readonly args: string[];
  readonly env: Record<string, string>;
  /** Files that `/` has at the start. */
  readonly files: Record<string, string | Uint8Array>;
  /** Further files of `/`, by their addresses. */
  readonly fetched?: Readonly<Record<string, URL>>;
  /** A tar.gz under the files at `/`. */
  readonly archive?: URL;
  /** Capabilities, as flags. */
  readonly grants: readonly string[];
  readonly limits: NonNullable<SpawnOptions['limits']>;
  /** A line for the terminal before the program starts. */
  readonly hint?: string;
}

/** Where every agent finds the tree that all agents of the page share. */
export const SHARED = '/shared';

/**
 * All files that `/` has at the start, with those that are fetched.
 *
 * @throws CapfsError `FETCH_FAILED`
 */
export async function ownFiles({ files, fetched = {} }: Launch): Promise<Launch['files']> {
  const more = Object.entries(fetched).map(async ([path, address]) => {
    const response = await fetch(address);
    if (!response.ok) throw new CapfsError('FETCH_FAILED', `${address.href}: the server answers ${response.status}`);
    return [path, new Uint8Array(await response.arrayBuffer())] as const;
  });
  return { ...files, ...Object.fromEntries(await Promise.all(more)) };
}

/**
 * The options of `spawn` for a launch: a private `/`, with the archive beneath it, and the shared tree. Where calls
 * can't wait there is nothing to type into, so the input has ended from the start, and there is no shared tree.
 */
export function spawnOptions(launch: Launch, files: Launch['files'], { wait }: Variant): SpawnOptions {
  const own = { type: 'memory', files, rights: 'rw' } as const;
  return {
    name: launch.name,
    ...(launch.id === undefined ? {} : { id: launch.id }),
    args: launch.args,
    env: launch.env,
    stdin: wait === 'none' ? 'closed' : 'pipe',
    tty: true,
    grants: launch.grants,
    limits: launch.limits,
    mounts: {
      '/': launch.archive ? [own, { type: 'archive', data: launch.archive }] : own,
      ...(wait === 'none' ? {} : { [SHARED]: { type: 'shared', path: SHARED, rights: 'rw' } as const }),
    },
  };
}
