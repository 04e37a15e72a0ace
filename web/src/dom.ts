/**
 * One element of the page and what is below it, as `/cap/dom` has it. Everything that an agent asks for passes through here: elements
 * by number, parts of them as text, events as lines. It is loaded only when `dom` is granted.
 */
import { CapfsError } from './errors.js';
import { allAttributes, allTags, attributeProblem, isTag, styleProblem, unknownAttribute, type MayLoad } from './dom-policy.js';

/** Characters of text or markup that are read at once, at most: 16 Mi. */
const READ_MAX = 16 << 20;
/** Kinds of events that one element listens for, at most. */
const LISTENERS_MAX = 64;
/** Characters of a field's value that an event tells. */
const VALUE_TOLD = 1_000;
/** The number of the element that was granted. */
const ROOT = 1;

/** Elements that an agent has by now: no two share one. */
const granted = new WeakSet<Element>();

/** What was in the element before, and how it looked. */
interface Before {
  nodes: Set<Node>;
  contain: string;
}

type Parsing = { setHTML?: (markup: string, options?: unknown) => void };

const refuse = (code: string, message: string): never => {
  throw new CapfsError(code, message);
};

export class DomPart {
  readonly #numbers = new WeakMap<Element, number>();
  readonly #elements = new Map<number, Element>();
  readonly #listeners = new Map<number, Map<string, (event: Event) => void>>();
  readonly #inert: Document;
  readonly #before: Before;
  #next = ROOT + 1;
  #raw = false;
  #max = 0;
  #cleanup = true;
  #ended = false;
  #mayLoad: MayLoad = () => false;
  #tell: (element: number, line: string) => void = () => undefined;
  /** Nothing is sent to where a form would send it: an agent listens for `submit`. */
  readonly #noSubmit = (event: Event): void => event.preventDefault();

  /** @param purify sanitises markup where the browser can't */
  constructor(
    private readonly root: HTMLElement,
    private readonly purify: ((markup: string, tags: string[], attributes: string[]) => string) | undefined,
  ) {
    if (granted.has(root)) throw new CapfsError('GRANT_INVALID', 'dom: an agent has this element already');
    granted.add(root);
    this.#inert = root.ownerDocument.implementation.createHTMLDocument('');
    this.#before = { nodes: new Set(everything(root)), contain: root.style.contain };
    // Whatever is in it is drawn within it, fixed and absolute places included, and can't cover the rest of the page.
    root.style.contain = 'layout paint';
    root.addEventListener('submit', this.#noSubmit, true);
    this.#number(root, ROOT);
  }

  /** The policy, and who is asked and told; called once. */
  begin([raw, max, cleanup]: [boolean, number, boolean], mayLoad: MayLoad, tell: (element: number, line: string) => void): void {
    [this.#raw, this.#max, this.#cleanup] = [raw, max, cleanup];
    this.#mayLoad = mayLoad;
    this.#tell = tell;
  }

  create(tag: string): number {
    if (!isTag(tag)) refuse('EACCES', `an agent can't make a ${tag}`);
    const element = this.root.ownerDocument.createElement(tag);
    harden(element);
    return this.#take(element);
  }

  has(number: number): boolean {
    return !this.#ended && this.#elements.has(number);
  }

  numbers(after: number, max: number): number[] {
    return [...this.#elements.keys()].filter((number) => number > after).sort((a, b) => a - b).slice(0, max);
  }

  get(number: number, part: string): string {
    const element = this.#element(number);
    const text = this.#read(element, part);
    if (text.length > READ_MAX) refuse('EFBIG', `the ${part} has ${text.length} characters`);
    return text;
  }

  #read(element: Element, part: string): string {
    switch (part) {
      case 'type':
        return element.localName;
      case 'attrs':
        return [...element.attributes].map(({ name, value }) => `${name} ${value.replaceAll('\n', ' ')}\n`).join('');
      case 'text':
        return element.textContent ?? '';
      case 'html':
        return element.innerHTML;
      case 'value':
        return this.#field(element).value;
      case 'style':
        return element.getAttribute('style') ?? '';
      case 'children':
        return [...element.children].map((child) => `${this.#numbers.get(child) ?? this.#take(child)}\n`).join('');
      default:
        return refuse('EINVAL', `there is no part ${part}`);
    }
  }

  set(number: number, part: string, text: string): void {
    const element = this.#element(number);
    if (!isTag(element.localName) && number !== ROOT) refuse('EACCES', `an agent can't change a ${element.localName}`);
    switch (part) {
      case 'attrs':
        return this.#attribute(this.#own(number, element), text);
      case 'style':
        return this.#style(this.#own(number, element), text);
      case 'text':
        element.textContent = text;
        return;
      case 'html':
        return this.#html(element, text);
      case 'value':
        this.#field(element).value = text;
        return;
      default:
        refuse('EINVAL', `there is no part ${part} to set`);
    }
  }

  command(number: number, what: string, first?: number | string, second?: number): void {
    const element = this.#element(number);
    switch (what) {
      case 'append':
        return this.#place(element, this.#child(first as number), null);
      case 'insert': {
        const before = this.#element(second!);
        if (before.parentNode !== element) refuse('EINVAL', `${second} is not in ${number}`);
        return this.#place(element, this.#child(first as number), before);
      }
      case 'remove':
        return this.#own(number, element).remove();
      case 'delete':
        this.#own(number, element).remove();
        for (const event of this.#listeners.get(number)?.keys() ?? []) this.#unlisten(number, element, event);
        this.#elements.delete(number);
        this.#numbers.delete(element);
        return;
      case 'listen':
        return this.#listen(number, element, first as string);
      case 'unlisten':
        return this.#unlisten(number, element, first as string);
      case 'focus':
        (element as HTMLElement).focus();
    }
  }

  /** Takes off the page what the agent added, and hears of nothing any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const [number, events] of this.#listeners) {
      const element = this.#elements.get(number);
      for (const event of [...events.keys()]) if (element) this.#unlisten(number, element, event);
    }
    if (this.#cleanup) removeOthers(this.root, this.#before.nodes);
    this.root.removeEventListener('submit', this.#noSubmit, true);
    this.root.style.contain = this.#before.contain;
    if (this.root.getAttribute('style') === '') this.root.removeAttribute('style');
    this.#elements.clear();
    granted.delete(this.root);
  }

  #number(element: Element, number: number): void {
    this.#numbers.set(element, number);
    this.#elements.set(number, element);
  }

  #take(element: Element): number {
    if (this.#elements.size >= this.#max) refuse('EMFILE', `the grant is for ${this.#max} elements`);
    const number = this.#next++;
    this.#number(element, number);
    return number;
  }

  /** The element of a number, if it is on no page or in the granted element: the page's script may have moved it. */
  #element(number: number): Element {
    if (this.#ended) refuse('EIO', 'the element is not the agent\'s any more');
    const element = this.#elements.get(number) ?? refuse('ENOENT', `there is no element ${number}`);
    if (!this.root.isConnected) refuse('EIO', 'the element that was granted is on no page any more');
    if (element.isConnected && !this.root.contains(element)) refuse('ENOENT', `element ${number} is elsewhere on the page`);
    return element;
  }

  /** An element that may be changed itself: the granted one is the page's. */
  #own(number: number, element: Element): Element {
    return number === ROOT ? refuse('EACCES', 'only what is in 1 can be changed') : element;
  }

  #child(number: number): Element {
    return this.#own(number, this.#element(number));
  }

  #field(element: Element): { value: string } {
    const { HTMLInputElement: I, HTMLTextAreaElement: T, HTMLSelectElement: S } = this.#window();
    if (element instanceof I || element instanceof T || element instanceof S) return element;
    return refuse('ENOTSUP', `a ${element.localName} has no value`);
  }

  #window(): typeof globalThis {
    return (this.root.ownerDocument.defaultView ?? refuse('EIO', 'the page is gone')) as unknown as typeof globalThis;
  }

  #place(parent: Element, child: Element, before: Element | null): void {
    if (!isTag(parent.localName) && parent !== this.root) refuse('EACCES', `an agent can't change a ${parent.localName}`);
    try {
      parent.insertBefore(child, before);
    } catch (error) {
      refuse('EINVAL', (error as Error).message);
    }
  }

  /** `NAME VALUE`, or `-NAME`. */
  #attribute(element: Element, line: string): void {
    const remove = line.startsWith('-');
    const blank = line.indexOf(' ');
    const name = (blank < 0 ? line : line.slice(0, blank)).slice(remove ? 1 : 0).toLowerCase();
    const value = blank < 0 ? '' : line.slice(blank + 1);
    if (name === 'style') return this.#style(element, remove ? '' : value);
    const problem = remove ? unknownAttribute(element.localName, name) : attributeProblem(element.localName, name, value, this.#mayLoad);
    if (problem !== undefined) refuse('EACCES', problem);
    if (remove) element.removeAttribute(name);
    else element.setAttribute(name, value);
    harden(element);
  }

  /** Has the browser read a style where nothing is loaded, and takes it only as a whole. */
  #style(element: Element, text: string): void {
    const problem = this.#styleProblem(text);
    if (problem !== undefined) refuse('EACCES', problem);
    if (text.trim() === '') element.removeAttribute('style');
    else element.setAttribute('style', this.#parsed(text).cssText);
  }

  #parsed(text: string): CSSStyleDeclaration {
    const { style } = this.#inert.createElement('p');
    style.cssText = text;
    return style;
  }

  #styleProblem(text: string): string | undefined {
    const style = this.#parsed(text);
    for (const property of style) {
      const problem = styleProblem(property, style.getPropertyValue(property));
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** Parses markup where nothing is loaded and nothing runs, takes off what is refused, and moves the rest in. */
  #html(element: Element, markup: string): void {
    const box = this.#inert.createElement(element.localName);
    if (this.#raw) box.innerHTML = markup;
    else {
      this.#sanitise(box, markup);
      for (const inside of box.querySelectorAll('*')) this.#strip(inside);
    }
    element.replaceChildren(...[...box.childNodes].map((node) => element.ownerDocument.adoptNode(node)));
  }

  #sanitise(box: Element & Parsing, markup: string): void {
    if (box.setHTML) {
      box.setHTML(markup, { sanitizer: { elements: allTags(), attributes: allAttributes(), dataAttributes: true, comments: false } });
    } else if (this.purify) {
      box.innerHTML = this.purify(markup, allTags(), allAttributes());
    } else {
      refuse('ENOTSUP', 'nothing here can sanitise markup');
    }
  }

  /** Takes off what the policy refuses: an element with what is in it, or an attribute. */
  #strip(element: Element): void {
    if (element.namespaceURI !== 'http://www.w3.org/1999/xhtml' || !isTag(element.localName)) return element.remove();
    for (const { name, value } of [...element.attributes]) {
      const problem = name === 'style' ? this.#styleProblem(value) : attributeProblem(element.localName, name, value, this.#mayLoad);
      if (problem !== undefined) element.removeAttribute(name);
    }
    harden(element);
  }

  #listen(number: number, element: Element, event: string): void {
    if (!/^[a-z]{1,32}$/.test(event)) refuse('EINVAL', `${event} can't be an event`);
    const listeners = this.#listeners.get(number) ?? new Map<string, (event: Event) => void>();
    if (listeners.has(event)) return;
    if (listeners.size >= LISTENERS_MAX) refuse('ENOSPC', `an element listens for ${LISTENERS_MAX} kinds of events at most`);
    const listener = (happened: Event): void => this.#tell(number, this.#line(happened));
    element.addEventListener(event, listener);
    this.#listeners.set(number, listeners.set(event, listener));
  }

  #unlisten(number: number, element: Element, event: string): void {
    const listeners = this.#listeners.get(number);
    const listener = listeners?.get(event);
    if (!listeners || !listener) return;
    element.removeEventListener(event, listener);
    listeners.delete(event);
    if (listeners.size === 0) this.#listeners.delete(number);
  }

  /** `EVENT TARGET KEY=VALUE…`: what an agent needs to know of an event. */
  #line(event: Event): string {
    const page = this.#window();
    const words = [event.type];
    let target = event.target instanceof page.Element ? event.target : null;
    while (target && !this.#numbers.has(target) && target !== this.root) target = target.parentElement;
    words.push(String((target && this.#numbers.get(target)) ?? ROOT));
    const tell = (key: string, value: unknown): number => words.push(`${key}=${escaped(String(value))}`);
    if (event instanceof page.MouseEvent) {
      const corner = this.root.getBoundingClientRect();
      tell('x', Math.round(event.clientX - corner.left));
      tell('y', Math.round(event.clientY - corner.top));
      tell('button', event.button);
    }
    if (event instanceof page.KeyboardEvent) {
      tell('key', event.key);
      tell('code', event.code);
    }
    if (event instanceof page.MouseEvent || event instanceof page.KeyboardEvent) {
      const held = [event.ctrlKey && 'ctrl', event.shiftKey && 'shift', event.altKey && 'alt', event.metaKey && 'meta'].filter(Boolean);
      if (held.length > 0) tell('held', held.join('+'));
    }
    const field = event.target;
    if (field instanceof page.HTMLInputElement || field instanceof page.HTMLTextAreaElement || field instanceof page.HTMLSelectElement) {
      tell('value', field.value.slice(0, VALUE_TOLD));
      if (field instanceof page.HTMLInputElement && (field.type === 'checkbox' || field.type === 'radio')) tell('checked', field.checked);
    }
    return words.join(' ');
  }
}

/** What every element of an agent has, whatever it sets: links open elsewhere and tell nothing, browsers fill nothing in. */
function harden(element: Element): void {
  if (element.localName === 'a') {
    element.setAttribute('target', '_blank');
    element.setAttribute('rel', 'noopener noreferrer nofollow');
  }
  if (element.localName === 'input' || element.localName === 'textarea' || element.localName === 'select') element.setAttribute('autocomplete', 'off');
  if (element.localName === 'img') element.setAttribute('referrerpolicy', 'no-referrer');
}

/** Blanks, control characters and `%` as `%XX`. */
function escaped(text: string): string {
  return text.replace(/[\s%\u0000-\u001f\u007f]/g, (character) => encodeURIComponent(character));
}

function everything(root: Node): Node[] {
  return [...root.childNodes].flatMap((node) => [node, ...everything(node)]);
}

/** Takes every node out that was not there before. */
function removeOthers(root: Node, before: Set<Node>): void {
  for (const node of [...root.childNodes]) {
    if (before.has(node)) removeOthers(node, before);
    else root.removeChild(node);
  }
}

/** The part of the page below an element; loads a sanitiser where the browser has none. */
export async function domPart(root: HTMLElement): Promise<DomPart> {
  if ((root as Parsing).setHTML) return new DomPart(root, undefined);
  const { default: createPurify } = await import('./dompurify.js');
  const purify = createPurify(root.ownerDocument.defaultView!);
  return new DomPart(root, (markup, tags, attributes) =>
    purify.sanitize(markup, { ALLOWED_TAGS: tags, ALLOWED_ATTR: attributes, ALLOW_ARIA_ATTR: true, ALLOW_DATA_ATTR: true }),
  );
}
