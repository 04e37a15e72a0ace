/**
 * Finds markup that browsers' parsers would take disproportionately long for, before a parser gets it: tags with very many attributes, styles with very many
 * declarations (each is compared with those before it), very many nested tags (for each the open ones are gone through), and very many elements that have a
 * tree of their own in the browser.
 */

import { HELD_MAX, NODES_MAX, weightOf } from './holding.js';

/** Attributes of a tag, at most. */
const ATTRIBUTES_MAX = 256;
/** Declarations of a style, and brackets that open in it, at most together. */
const DECLARATIONS_MAX = 1_000;
/** Elements that are open at a tag, of all tags together, at most: 16 Mi. */
const OPEN_MAX = 16 << 20;
/** The same for those elements only that a parser opens again after the block around them was closed: it may make as many new elements. */
const REOPENED_MAX = 1 << 18;
const REOPENED = new Set('a b big code em font i nobr s small strike strong tt u'.split(' '));
/** Elements without an end tag. */
const VOID = new Set('area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr'.split(' '));
/** Elements that end where another one of the same name begins, or where one of {@link BLOCKS} around them ends. */
const ENDED = new Set('dd dt li option p td th tr'.split(' '));
/** Elements whose end tag also ends those of {@link ENDED} within them. Inline elements aren't such, nor those that are opened again. */
const BLOCKS = new Set(
  (
    'address article aside blockquote dd details dialog div dl dt fieldset figcaption figure footer header hgroup li main menu nav ol search section ' +
    'select summary table tbody td tfoot th thead tr ul'
  ).split(' '),
);
/** Elements whose contents may be parsed as text, tags included. */
const TEXTS = new Set('iframe noembed noframes noscript plaintext script style textarea title xmp'.split(' '));
/** The type of an input as it is usually written. One that is written otherwise is checked after parsing. */
const TYPE = /\stype\s*=\s*["']?([a-z-]+)/i;
/** Characters at the beginning of a tag in which the type is looked for. */
const TYPE_WITHIN = 256;
/** The message for markup that would make too many nodes. */
export const TOO_MANY_NODES = `markup of an agent makes ${NODES_MAX} nodes at most`;
/** End tags that make an element where there is none to end. */
const MADE_BY_ENDS = new Set(['br', 'p']);
/** The count of a tag that has too many attributes or declarations. */
const TOO_MUCH = ATTRIBUTES_MAX + 1;

const [TAB, LINE, FORM, RETURN, SPACE] = [9, 10, 12, 13, 32];
const [QUOTE, APOSTROPHE, AMPERSAND, SLASH, SEMICOLON, LESS, EQUALS, GREATER] = [34, 39, 38, 47, 59, 60, 61, 62];
const isBlank = (code: number): boolean => code === SPACE || code === LINE || code === TAB || code === RETURN || code === FORM;
/** Whether it is the code of an ASCII letter. */
const isLetter = (code: number): boolean => (code | 32) >= 97 && (code | 32) <= 122;
/** Whether it is the code of what ends a declaration or opens a bracket: `;`, `(`, `[`, `{`. */
const counts = (code: number): boolean => code === SEMICOLON || code === 40 || code === 91 || code === 123;

/** What is wrong with a style's text, if anything. */
export function styleTextProblem(text: string): string | undefined {
  let declarations = 0;
  for (let at = 0; at < text.length; at++) if (counts(text.charCodeAt(at))) declarations += 1;
  return declarations > DECLARATIONS_MAX ? `a style of an agent has ${DECLARATIONS_MAX} declarations and brackets at most` : undefined;
}

/**
 * What is wrong with markup, if anything. Whether a `<` begins a tag depends on everything before it (comments, `<textarea>`), so every `<` that may begin
 * one is treated as a tag, and none is missed. Inside a tag, parsing from some place on depends on nothing before that place: so going from the end to the
 * beginning, each place is visited once. The states are those of the standard, <https://html.spec.whatwg.org/#tokenization>.
 */
export function markupProblem(markup: string): string | undefined {
  const length = markup.length;
  /** From each place on, the next that is no blank; a quotation mark; an apostrophe; what ends a value without either. */
  const [solid, quote, apostrophe, valueEnd] = [new Int32Array(length + 2), new Int32Array(length + 2), new Int32Array(length + 2), new Int32Array(length + 2)];
  /** From each place in a tag on, where it ends. */
  const ends = new Int32Array(length + 2).fill(length, length);
  /** How many declarations end or brackets open before a place, written as they are or as references to characters. */
  const ended = new Int32Array(length + 2);
  for (let at = 0; at <= length; at++) ended[at + 1] = ended[at]! + (counts(markup.charCodeAt(at)) || markup.charCodeAt(at) === AMPERSAND ? 1 : 0);
  /** Attributes from a place on to the end of the tag, where one may begin there. */
  const attributes = new Uint16Array(length + 2);
  /** From each place on, the next that ends the name of a tag. */
  const tagEnd = new Int32Array(length + 2);
  for (const next of [solid, quote, apostrophe, valueEnd, tagEnd]) next.fill(length, length);
  /** The next place behind this one that ends the name of an attribute. */
  let nameEnd = length;
  for (let at = length - 1; at >= 0; at--) {
    const code = markup.charCodeAt(at);
    const blank = isBlank(code);
    solid[at] = blank ? solid[at + 1]! : at;
    quote[at] = code === QUOTE ? at : quote[at + 1]!;
    apostrophe[at] = code === APOSTROPHE ? at : apostrophe[at + 1]!;
    valueEnd[at] = blank || code === GREATER ? at : valueEnd[at + 1]!;
    if (code === GREATER) [attributes[at], ends[at]] = [0, at];
    else if (blank || code === SLASH) [attributes[at], ends[at]] = [attributes[at + 1]!, ends[at + 1]!];
    else {
      const sign = solid[nameEnd]!;
      let [next, value, end] = [sign, 0, 0];
      if (markup.charCodeAt(sign) === EQUALS) {
        value = solid[sign + 1]!;
        const opens = markup.charCodeAt(value);
        const quoted = opens === QUOTE || opens === APOSTROPHE;
        end = opens === QUOTE ? quote[value + 1]! : opens === APOSTROPHE ? apostrophe[value + 1]! : valueEnd[value]!;
        next = Math.min(length, quoted ? end + 1 : end);
      }
      const long = ended[end]! - ended[value]! > DECLARATIONS_MAX;
      ends[at] = ends[next]!;
      attributes[at] = long ? TOO_MUCH : Math.min(TOO_MUCH, attributes[next]! + 1);
    }
    if (code === LESS) {
      const name = markup.charCodeAt(at + 1) === SLASH ? at + 2 : at + 1;
      if (isLetter(markup.charCodeAt(name)) && attributes[tagEnd[name]!]! >= TOO_MUCH) {
        return `a tag has ${ATTRIBUTES_MAX} attributes at most, and each ${DECLARATIONS_MAX} declarations and brackets`;
      }
    }
    tagEnd[at] = blank || code === SLASH || code === GREATER ? at : tagEnd[at + 1]!;
    if (blank || code === SLASH || code === GREATER || code === EQUALS) nameEnd = at;
  }
  return nestingProblem(markup, tagEnd, ends);
}

/**
 * Whether more is open at its tags than a parser gets through in time. An element counts as open until its own end tag comes, or what ends it without one, right
 * behind what is in it; a parser closes others, too, and never later. Once what is in an element may be a text or may be not, every `<` with a letter
 * behind it counts as a tag, and none ends.
 */
function nestingProblem(markup: string, tagEnd: Int32Array, ends: Int32Array): string | undefined {
  const open: string[] = [];
  let [certain, reopened, openSum, reopenedSum, weight, nodes] = [true, 0, 0, 0, 0, 0];
  for (let at = markup.indexOf('<'); at >= 0; at = markup.indexOf('<', at)) {
    const closes = markup.charCodeAt(at + 1) === SLASH;
    const begin = closes ? at + 2 : at + 1;
    if (!isLetter(markup.charCodeAt(begin))) {
      certain &&= !markup.startsWith('<![CDATA[', at);
      // A comment, most likely: a browser's parser makes a node of it.
      if (/[!?/]/.test(markup.charAt(at + 1)) && ++nodes > NODES_MAX) return TOO_MANY_NODES;
      at = certain ? endOfComment(markup, at) : at + 1;
      continue;
    }
    const end = tagEnd[begin]!;
    // The longest name of a tag is shorter.
    const name = markup.slice(begin, Math.min(end, begin + 32)).toLowerCase();
    let hasEnded = false;
    if (certain && (closes || ENDED.has(name))) {
      // Those above it that end with it.
      let place = open.length - 1;
      if (!closes || BLOCKS.has(name)) while (place >= 0 && open[place] !== name && ENDED.has(open[place]!)) place -= 1;
      if (open[place] === name) {
        open.length = place;
        hasEnded = closes;
        if (REOPENED.has(name)) reopened -= 1;
      }
    }
    if (!closes && !VOID.has(name)) {
      open.push(name);
      if (REOPENED.has(name)) reopened += 1;
    }
    if (!closes) weight += weightOf(name, name === 'input' ? TYPE.exec(markup.slice(end, Math.min(ends[end]!, end + TYPE_WITHIN)))?.[1] : undefined);
    if ((!closes || (MADE_BY_ENDS.has(name) && !hasEnded)) && ++nodes > NODES_MAX) return TOO_MANY_NODES;
    if (weight > HELD_MAX) return 'the elements of the markup are more than an agent may have';
    openSum += open.length;
    reopenedSum += reopened;
    if (openSum > OPEN_MAX || reopenedSum > REOPENED_MAX) return 'too many tags of the markup are within others';
    if (!closes && certain && TEXTS.has(name)) {
      const next = markup.indexOf('<', ends[end]!);
      certain = next >= 0 && markup.slice(next + 2, next + 2 + name.length).toLowerCase() === name && markup.charCodeAt(next + 1) === SLASH;
    }
    at = certain ? ends[end]! + 1 : at + 1;
  }
  return undefined;
}

/** The place behind what begins with a `<` that is no tag: a text, a comment, or what is taken for one. */
function endOfComment(markup: string, at: number): number {
  const behind = (end: string, from: number): number => {
    const found = markup.indexOf(end, from);
    return found < 0 ? markup.length : found + end.length;
  };
  if (!/[!?/]/.test(markup.charAt(at + 1))) return at + 1;
  if (!markup.startsWith('<!--', at)) return behind('>', at + 2);
  for (const short of ['>', '->']) if (markup.startsWith(short, at + 4)) return at + 4 + short.length;
  // Both ends are looked for at once, so that each character is looked at once.
  const end = /--!?>/g;
  end.lastIndex = at + 4;
  return end.test(markup) ? end.lastIndex : markup.length;
}
