/** Turns what people type into arguments and environment variables. */

/** A line that can't be understood; the message says why. */
export class CommandLineError extends Error {
  override name = 'CommandLineError';
}

/**
 * Splits a line into arguments as a shell does: blanks separate, single quotes keep everything, double quotes
 * keep everything except `\"` and `\\`, a backslash outside of quotes keeps the next character. Nothing is expanded.
 *
 * @throws CommandLineError when a quote isn't closed.
 */
export function splitArguments(line: string): string[] {
  const args: string[] = [];
  let current: string | null = null;
  let quote: '"' | "'" | null = null;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (quote) {
      if (char === quote) quote = null;
      else if (quote === '"' && char === '\\' && /["\\]/.test(line.charAt(i + 1))) current += line.charAt(++i);
      else current += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      current ??= '';
    } else if (char === '\\' && i + 1 < line.length) {
      current = (current ?? '') + line.charAt(++i);
    } else if (/\s/.test(char)) {
      if (current !== null) args.push(current);
      current = null;
    } else {
      current = (current ?? '') + char;
    }
  }
  if (quote) throw new CommandLineError(`The arguments have a ${quote} that isn't closed.`);
  if (current !== null) args.push(current);
  return args;
}

/** Writes arguments so that {@link splitArguments} reads the same ones again. */
export function joinArguments(args: readonly string[]): string {
  return args.map((arg) => (/^[^\s"'\\]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'"'"'`)}'`)).join(' ');
}

/**
 * Reads `NAME=value` lines; empty lines and lines that start with `#` are left out, the last of equal names counts.
 *
 * @throws CommandLineError when a line has no name before `=`.
 */
export function parseEnvironment(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const at = trimmed.indexOf('=');
    if (at < 1) throw new CommandLineError(`The environment has the line “${trimmed}”; write NAME=value.`);
    env[trimmed.slice(0, at)] = trimmed.slice(at + 1);
  }
  return env;
}
