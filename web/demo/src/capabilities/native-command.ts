/** The command that does natively what the page does: the same module, arguments and grants. */

/** The capabilities of a page alone. */
const PAGE_ALONE = new Set(['dom']);

/** A command line for a shell. */
export function nativeCommand(program: string, grants: readonly string[], args: readonly string[], env: Readonly<Record<string, string>>): string {
  const words = ['capfs-host', 'run'];
  for (const grant of grants) {
    const [device = ''] = grant.split(',', 1);
    if (!PAGE_ALONE.has(device)) words.push('--grant', grant);
  }
  for (const [name, value] of Object.entries(env)) words.push('--env', `${name}=${value}`);
  return [...words, program, ...args].map(quoted).join(' ');
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
