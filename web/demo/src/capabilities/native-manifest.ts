/** The manifest that does natively what the page does, for `capfs-host run --manifest` (docs/manifest.md). */
import type { Term } from './grant.js';
import { readGrant } from './grant.js';
import { onPageAlone, type NativeParts } from './native-command.js';

const MIB = 1024 * 1024;

/** A manifest in TOML. What natively nobody has is optional in it. */
export function nativeManifest({ program, args, env, grants, files, archive, limits }: NativeParts): string {
  const own = files ? '{ type = "folder", host = "files", rights = "rw" }' : '{ type = "memory" }';
  const root = archive ? `[${own}, { type = "archive", file = ${text(archive)} }]` : own;
  const sections = [
    ['[agent]', `program = ${text(program)}`, ...(args.length > 0 ? [`args = [${args.map(text).join(', ')}]`] : [])],
    Object.keys(env).length > 0 ? ['[env]', ...Object.entries(env).map(([name, value]) => `${key(name)} = ${text(value)}`)] : [],
    limits.memory || limits.time
      ? ['[limits]', ...(limits.memory ? [`memory = "${limits.memory / MIB}MiB"`] : []), ...(limits.time ? [`time = "${limits.time}ms"`] : [])]
      : [],
    ['[mounts]', `"/" = ${root}`],
    ...grants.map((grant) => {
      const draft = readGrant(grant);
      return ['[[grants]]', `device = ${text(draft.device)}`, ...terms(draft.terms), ...(onPageAlone(draft) ? ['optional = true'] : [])];
    }),
  ];
  return `${sections.filter((lines) => lines.length > 0).map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** Terms by key: one value, or a list where there are several. */
function terms(all: readonly Term[]): string[] {
  return [...Map.groupBy(all, (term) => term.key)].map(([name, same]) => {
    const values = same.map(({ value }) => text(value));
    return `${key(name)} = ${values.length === 1 ? values[0] : `[${values.join(', ')}]`}`;
  });
}

/** A basic string of TOML, whose escapes are those of JSON, and one more. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll('\x7f', '\\u007f');
}

function key(name: string): string {
  return /^[\w-]+$/.test(name) ? name : text(name);
}
