/**
 * What an agent may put on a page: tags, attributes, addresses and style. Everything that isn't named here is refused, so that
 * what browsers will learn tomorrow is refused, too.
 */

/** Tags without a meaning of their own for script, loading or the page as a whole. */
const TAGS = new Set(
  (
    'a abbr address article aside audio b bdi bdo blockquote br button canvas caption cite code col colgroup data datalist dd del details dfn ' +
    'dialog div dl dt em fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr i img input ins kbd label legend li main ' +
    'mark menu meter nav ol optgroup option output p picture pre progress q rp rt ruby s samp search section select small source span strong ' +
    'sub summary sup table tbody td textarea tfoot th thead time tr u ul var video wbr'
  ).split(' '),
);

/** Attributes of every tag. No `id`: it would make names in the page's own script. */
const EVERYWHERE = new Set('class dir draggable hidden lang role tabindex title translate'.split(' '));

/** Attributes by tag. Addresses and types are looked at more closely below. */
const ATTRIBUTES: Record<string, string> = {
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
  input: 'accept checked disabled list max maxlength min minlength multiple name pattern placeholder readonly required size step type value',
  ins: 'datetime',
  li: 'value',
  meter: 'high low max min optimum value',
  ol: 'reversed start type',
  optgroup: 'disabled label',
  option: 'disabled label selected value',
  progress: 'max value',
  select: 'disabled multiple name required size',
  source: 'src type',
  td: 'colspan rowspan headers',
  textarea: 'cols disabled maxlength minlength name placeholder readonly required rows wrap',
  th: 'abbr colspan rowspan headers scope',
  time: 'datetime',
  video: 'controls height loop muted playsinline preload src width',
};

/** Kinds of input. No `password`: a browser may fill one in by itself, and no `file` or `image`. */
const INPUT_TYPES = new Set('button checkbox color date datetime-local email month number radio range reset search submit tel text time url week'.split(' '));
/** Where a link may lead. A person follows it, in a tab of its own. */
const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
/** Pictures and sounds whose bytes are in the address. Not SVG: it is a document. */
const INLINE = /^data:(image\/(png|jpeg|gif|webp|avif|bmp)|audio\/[\w.+-]+|video\/[\w.+-]+)[;,]/i;

/** Whether the policy lets something be loaded from this origin. */
export type MayLoad = (scheme: string, host: string, port: number) => boolean;

export const isTag = (tag: string): boolean => TAGS.has(tag);
export const allTags = (): string[] => [...TAGS];
export const allAttributes = (): string[] => [...new Set([...EVERYWHERE, 'style', ...Object.values(ATTRIBUTES).flatMap((names) => names.split(' '))])].filter((name) => name !== '');

/** That an attribute isn't one that an agent may set, if it isn't. */
export function unknownAttribute(tag: string, name: string): string | undefined {
  const own = (ATTRIBUTES[tag] ?? '').split(' ');
  const known = EVERYWHERE.has(name) || /^(aria|data)-[a-z0-9-]+$/.test(name) || (name !== '' && own.includes(name));
  return known ? undefined : `an agent can't set ${name || 'nothing'} of ${tag}`;
}

/** What is wrong with an attribute, if anything; `style` is not looked at here. */
export function attributeProblem(tag: string, name: string, value: string, mayLoad: MayLoad): string | undefined {
  const unknown = unknownAttribute(tag, name);
  if (unknown !== undefined) return unknown;
  if (name === 'type' && tag === 'input' && !INPUT_TYPES.has(value.toLowerCase())) return `an agent can't make an input of the type ${value}`;
  if (name === 'href') {
    const url = parse(value);
    if (!url || !LINKS.has(url.protocol)) return 'a link must be absolute, and lead to http, https, mailto or tel';
  }
  if (name === 'src' && !INLINE.test(value)) {
    const url = parse(value);
    const port = url && Number(url.port || { 'http:': 80, 'https:': 443 }[url.protocol]);
    if (!url || !port || !mayLoad(url.protocol.slice(0, -1), url.hostname, port)) return `the grant lets nothing be loaded from ${url ? url.origin : 'there'}`;
  }
  return undefined;
}

function parse(address: string): URL | undefined {
  try {
    return new URL(address);
  } catch {
    return undefined;
  }
}

/** Functions of CSS by which something is loaded, or that stand for text which is not seen here. */
const LOADING = /(url|src|image|image-set|-webkit-image-set|cross-fade|element|attr|expression|paint|if|env)\s*\(|\\/i;

/** What is wrong with a declaration of style, as the browser's own parser wrote it, if anything. */
export function styleProblem(property: string, value: string): string | undefined {
  if (property.startsWith('--')) return `an agent can't set the property ${property}`;
  if (LOADING.test(value)) return `an agent can't set ${property} to something that is loaded`;
  return undefined;
}
