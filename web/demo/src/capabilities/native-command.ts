/** The command that does natively what the page does: the same module, arguments, files, grants and limits. */
import type { SpawnOptions } from 'capfs';
import { deviceInfo } from './devices.js';
import { readGrant, writeGrant, type GrantDraft } from './grant.js';

/** What it is made of. */
export interface NativeParts {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly grants: readonly string[];
  /** Whether the program begins with files. */
  readonly files: boolean;
  /** The archive below them. */
  readonly archive?: string;
  readonly limits: NonNullable<SpawnOptions['limits']>;
}

/** Whether natively nobody has a capability. */
export function onPageAlone({ device }: GrantDraft): boolean {
  return deviceInfo(device)?.onPageAlone ?? false;
}

/** Whether a capability keeps something, which natively it does in the folder `--state`. */
function keeps({ device, terms }: GrantDraft): boolean {
  const unless = deviceInfo(device)?.keepsUnless;
  const spelt = (value: string): string => (value === 'false' ? 'no' : value);
  return unless !== undefined && !terms.some(({ key, value }) => unless[key] === spelt(value));
}

/** A command line for a shell, an option a line; the devices that it has to do without; whether it keeps anything. */
export function nativeCommand({ program, args, env, grants, files, archive, limits }: NativeParts): { command: string; without: string[]; state: boolean } {
  const drafts = grants.map(readGrant);
  const options: string[][] = [
    files ? ['--dir', 'files::/:rw'] : ['--mount', 'memory:/:rw'],
    ...(archive ? [['--mount', `archive=${archive}:/`]] : []),
    ...drafts.filter((draft) => !onPageAlone(draft)).map((draft) => ['--grant', writeGrant(draft)]),
    ...(drafts.some(keeps) ? [['--state', 'state']] : []),
    ...Object.entries(env).map(([name, value]) => ['--env', `${name}=${value}`]),
    ...(limits.memory ? [['--max-memory', String(limits.memory)]] : []),
    ...(limits.time ? [['--timeout', `${limits.time}ms`]] : []),
    [program, ...args],
  ];
  return {
    command: ['capfs-host run', ...options.map((words) => words.map(quoted).join(' '))].join(' \\\n  '),
    state: drafts.some(keeps),
    without: drafts.filter(onPageAlone).map(({ device }) => device),
  };
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
