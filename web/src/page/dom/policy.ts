/**
 * What an agent may put on a page: tags, attributes, addresses and style. Everything that isn't named here is refused, so that
 * what browsers will learn tomorrow is refused, too.
 */

/** Tags that run no script, load nothing by themselves and have no effect on the page as a whole. */
export const TAGS = new Set(
  (
    'a abbr address article aside audio b bdi bdo blockquote br button canvas caption cite code col colgroup data datalist dd del details dfn ' +
    'dialog div dl dt em fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr i img input ins kbd label legend li main ' +
    'mark menu meter nav ol optgroup option output p picture pre progress q rp rt ruby s samp search section select small source span strong ' +
    'sub summary sup table tbody td textarea tfoot th thead time tr u ul var video wbr'
  ).split(' '),
);

/** Attributes of every tag. No `id`: it would become a global variable of the page's script. */
const EVERYWHERE = new Set('class dir draggable hidden lang role tabindex title translate'.split(' '));

/**
 * Attributes that refer to another element by its `id`. An agent's elements have none, so it would be one of the page's, which screen readers would then present
 * as part of the agent's. And `aria-modal`, which hides the rest of the page from them.
 */
const REACHING = /^aria-(activedescendant|actions|controls|describedby|details|errormessage|flowto|labelledby|modal|owns)$/;

/**
 * Attributes by tag. For the same reason none has `list`, `headers`, `for`, `form`, `popovertarget`, `commandfor` or `anchor`. Addresses and types are
 * checked further below. No `pattern`: it is a regular expression, and one can keep the page's thread busy for as long as the agent likes. No `value` of `li`: for each
 * of them Chromium counts all items of the list again.
 */
export const ATTRIBUTES: Record<string, string> = {
  a: 'href',
  audio: 'src controls loop muted preload',
  blockquote: '',
  button: 'disabled name type value',
  canvas: 'width height',
  col: 'span',
  colgroup: 'span',
  data: 'value',
  del: 'datetime',
  details: 'open',
  dialog: 'open',
  fieldset: 'disabled',
  img: 'alt decoding height loading src width',
  input: 'accept checked disabled max maxlength min minlength multiple name placeholder readonly required size step type value',
  ins: 'datetime',
  meter: 'high low max min optimum value',
  ol: 'reversed start type',
  optgroup: 'disabled label',
  option: 'disabled label selected value',
  progress: 'max value',
  select: 'disabled multiple name required size',
  source: 'src type',
  td: 'colspan rowspan',
  textarea: 'cols disabled maxlength minlength name placeholder readonly required rows wrap',
  th: 'abbr colspan rowspan scope',
  time: 'datetime',
  video: 'controls height loop muted playsinline preload src width',
};

/** Kinds of input. No `password`: a browser may fill one in by itself, and no `file` or `image`. */
export const INPUT_TYPES = new Set('button checkbox color date datetime-local email month number radio range reset search submit tel text time url week'.split(' '));
/** Schemes of links. A person follows them, in a new tab. */
const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
/** Pictures whose bytes are in the address. Not SVG: it is a document. */
const PICTURE = /^data:image\/(png|jpeg|gif|webp|avif|bmp)[;,]/i;
/**
 * Sounds and films whose bytes are in the address, by how the bytes begin: WAV, FLAC, Ogg, WebM. Players go by the bytes and not by the type, and
 * would load the files that playlists (HLS, DASH) and some containers refer to.
 */
const SOUND = /^data:(audio|video)\/[\w.+-]+(;codecs=[\w.]+)?;base64,(UklGR|ZkxhQ|T2dnU|GkXfo)/i;

/** Whether the policy lets something be loaded from this origin. */
export type MayLoad = (scheme: string, host: string, port: number) => boolean;

export const isTag = (tag: string): boolean => TAGS.has(tag);
/** A message if an agent may not set this attribute; undefined if it may. */
export function unknownAttribute(tag: string, name: string): string | undefined {
  const own = (ATTRIBUTES[tag] ?? '').split(' ');
  const known = EVERYWHERE.has(name) || (/^(aria|data)-[a-z0-9-]+$/.test(name) && !REACHING.test(name)) || (name !== '' && own.includes(name));
  return known ? undefined : `an agent can't set ${name || 'nothing'} of ${tag}`;
}

/** Columns or rows that a cell of a table spans, at most. None of them 0, which is all rows that there are. */
const SPAN_MAX = 1_000;
const SPANS = new Set(['colspan', 'rowspan', 'span']);
const spanOf = (value: string | null): number => Number(value ?? 1);

/** Places of its table that an element takes beside its own; `valueOf` reads its attributes. */
export function spannedBy(tag: string, valueOf: (name: string) => string | null): number {
  if (tag === 'td' || tag === 'th') return spanOf(valueOf('colspan')) * spanOf(valueOf('rowspan')) - 1;
  return tag === 'col' || tag === 'colgroup' ? spanOf(valueOf('span')) - 1 : 0;
}

/** The value to set, or what is wrong with it. */
export type Judged = { value: string } | { problem: string };

/**
 * Judges an attribute; `style` is not looked at here. An address is set as it was read here: elsewhere `https:x` can mean
 * something on the page's own server.
 *
 * @param hidesProperty whether a control of this name would hide a property of its form's
 */
export function judgeAttribute(tag: string, name: string, value: string, mayLoad: MayLoad, hidesProperty: (name: string) => boolean): Judged {
  const problem = unknownAttribute(tag, name);
  if (problem !== undefined) return { problem };
  if (name === 'type' && tag === 'input' && !INPUT_TYPES.has(value.toLowerCase())) return { problem: `an agent can't make an input of the type ${value}` };
  // A greater one would make it the first of the whole page.
  if (name === 'tabindex' && value !== '0' && value !== '-1') return { problem: 'the tabindex of an element is 0 or -1' };
  if (SPANS.has(name) && !(/^[1-9]\d*$/.test(value) && Number(value) <= SPAN_MAX)) return { problem: `a ${name} is a number from 1 to ${SPAN_MAX}` };
  if (name === 'name' && hidesProperty(value)) return { problem: `an agent can't name something ${value}: it would hide a property of a form` };
  if (name === 'href') {
    const url = parse(value);
    if (!url || !LINKS.has(url.protocol)) return { problem: 'a link must be absolute, and lead to http, https, mailto or tel' };
    return { value: url.href };
  }
  if (name === 'src') {
    if ((tag === 'img' ? PICTURE : SOUND).test(value)) return { value };
    const url = parse(value);
    const port = url && Number(url.port || { 'http:': 80, 'https:': 443 }[url.protocol]);
    if (!url || !port || !mayLoad(url.protocol.slice(0, -1), url.hostname, port)) {
      return { problem: `the grant lets nothing be loaded from ${url ? url.origin : 'there'}` };
    }
    return { value: url.href };
  }
  return { value };
}

function parse(address: string): URL | undefined {
  try {
    return new URL(address);
  } catch {
    return undefined;
  }
}

/**
 * Functions of CSS that load nothing and stand for no text that isn't seen here; `var` stands for the page's own. No `blur` and no `drop-shadow`: within
 * each other, or a few of them one after the other, they keep a browser from drawing the page again at all.
 */
const FUNCTIONS = new Set(
  (
    'abs acos anchor anchor-size asin atan atan2 brightness calc calc-size circle clamp color color-mix conic-gradient contrast cos counter counters ' +
    'cubic-bezier device-cmyk ellipse exp fit-content grayscale hsl hsla hue-rotate hwb hypot inset invert lab lch light-dark linear ' +
    'linear-gradient log matrix matrix3d max min minmax mod oklab oklch opacity path perspective polygon pow progress radial-gradient ray rect rem ' +
    'repeat repeating-conic-gradient repeating-linear-gradient repeating-radial-gradient rgb rgba rotate rotate3d rotatex rotatey rotatez round ' +
    'saturate scale scale3d scalex scaley scalez sepia shape sign sin skew skewx skewy sqrt steps symbols tan translate translate3d translatex ' +
    'translatey translatez var xywh'
  ).split(' '),
);
/** What ends a name. */
const BETWEEN = new Set(' \t\n\r\f,()/*+:;"\'');

/**
 * What stands before each parenthesis that opens. Each character is looked at once, as a regular expression that may begin anywhere does not.
 * It misses no function: without escapes and comments, one is written as its name with the parenthesis right behind it, and no name has
 * one of these characters in it. What it finds in a string is one too many.
 */
function* called(text: string): Generator<string> {
  let begin = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (!BETWEEN.has(character)) continue;
    if (character === '(') yield text.slice(begin, at);
    begin = at + 1;
  }
}
/** Characters of what is refused that a message has. */
const SHOWN = 100;
/** Properties by which an element has a name for the rest of the page. */
const NAMES = /^(--|anchor-name$|anchor-scope$|(scroll|view)-timeline|timeline-scope$|view-transition)/;

/** What makes columns of an element's text: within each other browsers take twice as long for each, minutes for ten. */
const COLUMNS = /^(-\w+-)?(columns|column-(count|width))$/;
/**
 * What keeps browsers from drawing the page for long: shadows of texts, which elements hand on to all that is in them, and filters of what is behind an element.
 */
const HEAVY = /^(-\w+-)?(backdrop-filter|text-shadow)$/;
/** What an element has of another one for as long as it says so, whatever that is: a list of pictures, or of shadows. */
const INHERITED = /^(all|(-\w+-)?(background|border-image|box-shadow|mask)(-.*)?)$/;
/** Shadows of an element, at most; characters of all of them; and how far each may reach, in pixels. */
const [SHADOWS_MAX, SHADOWS_LENGTH_MAX, SHADOW_REACH_MAX] = [4, 512, 48];
/** Colours with arguments, which have no others in them. */
const COLOUR = /\b(rgba?|hsla?|hwb|lab|lch|oklab|oklch|color)\([^()]*\)/g;

/** What is wrong with the shadows of an element, if anything. */
function shadowProblem(text: string): string | undefined {
  if (text.length > SHADOWS_LENGTH_MAX) return `the shadows of an element are ${SHADOWS_LENGTH_MAX} characters at most`;
  const plain = text.toLowerCase().replace(COLOUR, '');
  if (plain.split(',').length > SHADOWS_MAX) return `an element has ${SHADOWS_MAX} shadows at most`;
  const lengths = plain.match(/[-+]?(\d|\.\d)[^\s,]*/g) ?? [];
  const reaches = lengths.every((length) => /^[-+]?[\d.]+(px)?$/.test(length) && Math.abs(parseFloat(length)) <= SHADOW_REACH_MAX);
  return reaches && !plain.includes('(') ? undefined : `lengths of shadows are in px, ${SHADOW_REACH_MAX} at most`;
}

/**
 * What browsers lay out again and again within each other, twice as often with each: tables in styles, whose nesting only tags tell, and places that are tried
 * one after the other.
 */
const PLACES_TRIED = /^position-try/;
const TABULAR = /\b(table|ruby)/;
/** Properties of grids and of what lies in them. */
const GRID = /^(-\w+-)?grid/;
/** What as many tracks as there is room for count as, and the farthest line: Firefox has no more of them, and Chromium makes none on the way to a line. */
const TRACKS_MAX = 10_000;

/** What is wrong with a property of a grid, if anything: for each name browsers go through all lines, and for each item through all places from the first. */
function gridProblem(value: string): string | undefined {
  if (value.includes('[')) return 'lines of a grid have no names';
  return /\bdense\b/.test(value) ? 'a grid of an agent is not dense' : undefined;
}

/**
 * How many tracks a style asks for, in a grid of its own or by a place in one. Of a place that is far off, or takes much, Firefox visits each cell: so it counts by the
 * square of its numbers.
 */
export function tracksOf(style: string): number {
  let tracks = 0;
  for (const [declaration] of style.matchAll(/(?<![\w-])(-\w+-)?grid[^;]*/gi)) {
    tracks += declaration.match(/[\s,]+/g)?.length ?? 0;
    for (const [, count, of] of declaration.matchAll(/repeat\(\s*([\w-]+)([^;]*?)(?=repeat\(|$)/gi)) {
      const times = Number(count);
      tracks += (Number.isNaN(times) ? TRACKS_MAX : times) * (of!.match(/[\s,]+/g)?.length ?? 1);
    }
    if (!declaration.includes('repeat(')) for (const [number] of declaration.matchAll(/\d+/g)) tracks += Math.ceil(Math.min(TRACKS_MAX, Number(number)) ** 2 / 64);
  }
  return tracks;
}

/** What one style has painted, at most. */
const PAINTED_MAX = 16;
/**
 * How often a style has a browser paint something beside texts and plain areas, at most: pictures made of colours, and shadows, each list of which counts as
 * the longest.
 */
export function paintedBy(style: string): number {
  const found = style.match(/gradient\(|shadow/gi) ?? [];
  return found.reduce((sum, what) => sum + (what.endsWith('(') ? 1 : SHADOWS_MAX), 0);
}

/**
 * What is wrong with a style, if anything: its properties' names, and the whole as the browser's own parser wrote it. Of a shorthand with
 * `var()` the parts have no text of their own.
 */
export function styleProblem(properties: Iterable<string>, valueOf: (property: string) => string, text: string): string | undefined {
  for (const property of properties) {
    if ([NAMES, COLUMNS, HEAVY, PLACES_TRIED].some((those) => those.test(property))) return `an agent can't set the property ${property.slice(0, SHOWN)}`;
    if (INHERITED.test(property) && valueOf(property) === 'inherit') return `the property ${property} of an agent is not inherited`;
    if (property === 'display' && TABULAR.test(valueOf(property))) return 'an agent makes tables and ruby of their tags alone';
    const problem = property === 'box-shadow' ? shadowProblem(valueOf(property)) : GRID.test(property) ? gridProblem(valueOf(property)) : undefined;
    if (problem) return problem;
  }
  if (paintedBy(text) > PAINTED_MAX) return `a style of an agent has ${PAINTED_MAX} gradients and shadows at most`;
  if (text.includes('\\') || text.includes('/*')) return "an agent's style has no escapes and no comments";
  for (const name of called(text)) {
    if (name !== '' && !FUNCTIONS.has(name.toLowerCase())) return `an agent can't set a style to ${name.slice(0, SHOWN)}()`;
  }
  return undefined;
}
