/**
 * What an agent with a grant may do, as its device's description says it (`may` of its `device.json`):
 * - `{key}` is the value of a term, or all of them; `{key|4}` what holds where it is not given, `{key|A,B}` several
 * - `[key:text]` is there if the term is, `[key=no:text]` if its last value is that one, `[key!=no:text]` if it is not; such parts can be within one another
 */
import type { TermInfo } from './devices.js';
import type { Term } from './grant.js';

/** A part of a sentence; a value that the grant says is set apart. */
export type Words = string | { readonly value: string };

/** What a value is called in any spelling. */
const SPELT: Readonly<Record<string, string>> = { true: 'yes', false: 'no' };

export function sentence(may: string, known: readonly TermInfo[], terms: readonly Term[]): Words[] {
  const values = (key: string): string[] => terms.filter((term) => term.key === key).map(({ value }) => SPELT[value] ?? value);
  const words: Words[] = [];
  /** Says what stands from here up to the end of a part, or leaves it out; returns where that is. */
  const say = (from: number, aloud: boolean): number => {
    let at = from;
    while (at < may.length && may[at] !== ']') {
      const [whole, text, key = '', otherwise = '', condition, not, wanted] = /^(?:([^[\]{}]+)|\{([\w-]+)(?:\|([^}]*))?\}|\[([\w-]+)(?:(!?)=(\w+))?:)/.exec(may.slice(at)) ?? [];
      if (whole === undefined) throw new Error(`no sentence: ${may}`);
      at += whole.length;
      if (condition !== undefined) {
        const given = values(condition);
        const holds = wanted === undefined ? given.length > 0 : (given.at(-1) === wanted) !== (not === '!');
        at = say(at, aloud && holds) + 1;
      } else if (aloud) {
        words.push(...(text === undefined ? called(key, values(key), otherwise) : [text]));
      }
    }
    return at;
  };
  const called = (key: string, given: readonly string[], otherwise: string): Words[] => {
    const names = known.find((term) => term.key === key)?.words;
    const all = given.length > 0 ? given : otherwise.split(',');
    const named = names && (all.find((value) => Object.hasOwn(names, value)));
    return named === undefined ? listed(all) : [names?.[named] ?? named];
  };
  if (say(0, true) !== may.length) throw new Error(`no sentence: ${may}`);
  return words;
}

/** Values with words between them: `A`, `A and B`, `A, B and C`. */
function listed(values: readonly string[]): Words[] {
  return values.flatMap((value, index) => {
    const joint = index === 0 ? [] : [index === values.length - 1 ? ' and ' : ', '];
    return [...joint, { value }];
  });
}
