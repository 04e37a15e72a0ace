/** Colours C source, coarsely: enough to read by, with no claim to parse the language. */
import { el } from '../element.js';

const KEYWORD =
  'auto|break|case|const|continue|default|do|else|enum|extern|for|goto|if|inline|register|restrict|return|sizeof|static|struct|switch|typedef|union|volatile|while';
const TYPE = 'void|char|short|int|long|float|double|signed|unsigned|_Bool|bool|FILE|DIR|\\w+_t';

const TOKEN = new RegExp(
  [
    '(?<comment>//[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|(?![\\s\\S])))',
    '(?<string>"(?:\\\\.|[^"\\\\\\n])*"?|\'(?:\\\\.|[^\'\\\\\\n])*\'?)',
    '(?<directive>^[ \\t]*#[ \\t]*\\w+(?:[ \\t]*<[^>\\n]*>)?)',
    '(?<number>\\b(?:0[xX][\\da-fA-F]+|\\d[\\d.]*(?:[eE][-+]?\\d+)?)[uUlLfF]*\\b)',
    `(?<keyword>\\b(?:${KEYWORD})\\b)`,
    `(?<type>\\b(?:${TYPE})\\b)`,
  ].join('|'),
  'gm',
);

/** Splits source into text and `<span class="c-…">`. */
export function highlight(source: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let at = 0;
  for (const match of source.matchAll(TOKEN)) {
    parts.push(source.slice(at, match.index));
    const kind = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined)?.[0];
    parts.push(el('span', { class: `c-${kind}` }, match[0]));
    at = match.index + match[0].length;
  }
  parts.push(source.slice(at));
  return parts;
}
