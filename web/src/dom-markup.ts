/**
 * What browsers' parsers take far longer for than in proportion to its length: tags with very many attributes, styles with very many
 * declarations (each is compared with those before it). It is found before a parser sees it.
 */

/** Attributes of a tag, at most. */
const ATTRIBUTES_MAX = 256;
/** Declarations of a style, at most. */
const DECLARATIONS_MAX = 1_000;
/** What a tag counts that has too much of something. */
const TOO_MUCH = ATTRIBUTES_MAX + 1;

const [TAB, LINE, FORM, RETURN, SPACE] = [9, 10, 12, 13, 32];
const [QUOTE, APOSTROPHE, AMPERSAND, SLASH, SEMICOLON, LESS, EQUALS, GREATER] = [34, 39, 38, 47, 59, 60, 61, 62];
const isBlank = (code: number): boolean => code === SPACE || code === LINE || code === TAB || code === RETURN || code === FORM;
/** The code of a letter, whatever its case. */
const isLetter = (code: number): boolean => (code | 32) >= 97 && (code | 32) <= 122;
/** What ends a declaration, written as it is or as a reference to a character. */
const endsDeclaration = (code: number): boolean => code === SEMICOLON || code === AMPERSAND;

/** What is wrong with a style's text, if anything. */
export function styleTextProblem(text: string): string | undefined {
  let declarations = 0;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) === SEMICOLON) declarations += 1;
  return declarations > DECLARATIONS_MAX ? `a style of an agent has ${DECLARATIONS_MAX} declarations at most` : undefined;
}

/**
 * What is wrong with markup, if anything. Whether a `<` begins a tag depends on everything before it (comments, `<textarea>`); so each that
 * may is taken for one, and none is missed. From a place in a tag on, what follows depends on nothing before it: going from the end to the
 * beginning, each place is looked at once. The states are those of the standard, <https://html.spec.whatwg.org/#tokenization>.
 */
export function markupProblem(markup: string): string | undefined {
  const length = markup.length;
  /** From each place on, the next that is no blank; a quotation mark; an apostrophe; what ends a value without either. */
  const [solid, quote, apostrophe, valueEnd] = [new Int32Array(length + 2), new Int32Array(length + 2), new Int32Array(length + 2), new Int32Array(length + 2)];
  /** How many declarations end before a place. */
  const ended = new Int32Array(length + 2);
  for (let at = 0; at <= length; at++) ended[at + 1] = ended[at]! + (endsDeclaration(markup.charCodeAt(at)) ? 1 : 0);
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
    if (code === GREATER) attributes[at] = 0;
    else if (blank || code === SLASH) attributes[at] = attributes[at + 1]!;
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
      attributes[at] = long ? TOO_MUCH : Math.min(TOO_MUCH, attributes[next]! + 1);
    }
    if (code === LESS) {
      const name = markup.charCodeAt(at + 1) === SLASH ? at + 2 : at + 1;
      if (isLetter(markup.charCodeAt(name)) && attributes[tagEnd[name]!]! >= TOO_MUCH) return `a tag has ${ATTRIBUTES_MAX} attributes at most, and each ${DECLARATIONS_MAX} declarations`;
    }
    tagEnd[at] = blank || code === SLASH || code === GREATER ? at : tagEnd[at + 1]!;
    if (blank || code === SLASH || code === GREATER || code === EQUALS) nameEnd = at;
  }
  return undefined;
}
