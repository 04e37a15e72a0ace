/**
 * One element of the page and what is below it, as `/cap/dom` has it. Everything that an agent asks for passes through here: elements
 * by number, parts of them as text, events as lines. It is loaded only when `dom` is granted. Nothing is read of an element itself: see
 * `dom-native.ts`.
 */
import { CapfsError, type CapfsErrorCode } from './errors.js';
import * as native from './dom-native.js';
import { isTag, judgeAttribute, styleProblem, unknownAttribute, type Judged, type MayLoad } from './dom-policy.js';

/** Characters of text or markup that are read at once, at most: 16 Mi. */
const READ_MAX = 16 << 20;
/** Characters that an agent may have on a page and in elements off it, at most, each node counted as {@link NODE}: 64 Mi. */
const HELD_MAX = 64 << 20;
/** What a node counts as beside its characters. */
const NODE = 128;
/** Milliseconds between two counts of what an agent has, at least: a count looks at every node. */
const COUNT_EVERY = 1_000;
/** Kinds of events that one element listens for, at most. */
const LISTENERS_MAX = 64;
/** Characters of a field's value that an event tells. */
const VALUE_TOLD = 1_000;
/** The number of the element that was granted. */
const ROOT = 1;

/** Elements that an agent has by now: no two share one. */
const granted = new WeakSet<Element>();

/** Elements of the page that are no place for an agent: what is in them runs, or is seen nowhere. */
const NO_PLACE = new Set(['script', 'style', 'template', 'iframe', 'object', 'noscript']);
/** How an element looks for whose box `contain` does nothing, if not `inline`: CSS Containment Level 2, 3.2 and 3.4. */
const UNCONTAINED = /^(contents|table-(row|column|header|footer)(-group)?|ruby.*)$/;
/** Kinds of nodes. */
const ELEMENT = 1;
const TEXT = 3;

/** What was in the element before, and how it looked. */
interface Before {
  nodes: Set<Node>;
  contain: string;
  display: string;
}

const refuse = (code: CapfsErrorCode, message: string): never => {
  throw new CapfsError(code, message);
};

export class DomPart {
  readonly #numbers = new WeakMap<Element, number>();
  readonly #elements = new Map<number, Element>();
  readonly #listeners = new Map<number, Map<string, (event: Event) => void>>();
  readonly #inert: Document;
  readonly #before: Before;
  #next = ROOT + 1;
  /** What it has at most: what was counted last, and all that it has made since. */
  #held = 0;
  #counted = -Infinity;
  #raw = false;
  #max = 0;
  #cleanup = true;
  #ended = false;
  #mayLoad: MayLoad = () => false;
  #tell: (element: number, line: string) => void = () => undefined;
  /** Nothing is sent to where a form would send it: an agent listens for `submit`. */
  readonly #noSubmit = (event: Event): void => event.preventDefault();

  readonly #document: Document;
  /** Whether `contain` is known to do something for it. */
  #contained = false;
  /** Whether it was made a box for that. */
  #boxed = false;

  /** @param trusted makes of markup what the page's policy lets be parsed */
  constructor(
    private readonly root: HTMLElement,
    private readonly trusted: (markup: string) => unknown,
  ) {
    if (!native.isElement(root) || !native.isHtml(root)) throw new CapfsError('GRANT_INVALID', 'dom: it needs an HTML element of the page');
    if (NO_PLACE.has(native.localName(root))) throw new CapfsError('GRANT_INVALID', `dom: an agent can't have a ${native.localName(root)}`);
    if (native.inForm(root)) throw new CapfsError('GRANT_INVALID', "dom: the element is in a form of the page, and the agent's fields would be sent with it");
    if (granted.has(root)) throw new CapfsError('GRANT_INVALID', 'dom: an agent has this element already');
    this.#document = native.ownerDocument(root)!;
    this.#inert = native.implementation(this.#document).createHTMLDocument('');
    const style = native.style(root);
    this.#before = { nodes: native.everyNode(root), contain: style.contain, display: style.display };
    // Whatever is in it is drawn within it, fixed and absolute places included, and can't cover the rest of the page.
    style.contain = 'content';
    try {
      this.#contain();
    } catch (error) {
      this.#restore();
      throw new CapfsError('GRANT_INVALID', `dom: ${(error as Error).message}`);
    }
    granted.add(root);
    native.addEventListener(root, 'submit', this.#noSubmit, true);
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
    this.#charge(NODE);
    const element = native.createElement(this.#document, tag);
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
        return native.localName(element);
      case 'attrs':
        return native
          .getAttributeNames(element)
          .map((name) => `${name} ${(native.getAttribute(element, name) ?? '').replaceAll('\n', ' ')}\n`)
          .join('');
      case 'text':
        return native.textContent(element) ?? '';
      case 'html':
        return native.innerHTML(element);
      case 'value':
        return this.#field(element).value(element);
      case 'style':
        return native.getAttribute(element, 'style') ?? '';
      case 'children':
        return [...native.elementsIn(element)].map((child) => `${this.#numbers.get(child) ?? this.#take(child)}\n`).join('');
      default:
        return refuse('EINVAL', `there is no part ${part}`);
    }
  }

  set(number: number, part: string, text: string): void {
    const element = this.#element(number);
    this.#mayChange(element);
    this.#contain();
    // What markup makes is counted node by node.
    if (part !== 'html' || this.#raw) this.#charge(text.length);
    switch (part) {
      case 'attrs':
        return this.#attribute(this.#own(number, element), text);
      case 'style':
        return this.#style(this.#own(number, element), text);
      case 'text':
        native.setTextContent(element, text);
        return;
      case 'html':
        return this.#html(element, text);
      case 'value':
        this.#field(element).set(element, text);
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
        if (native.parentNode(before) !== element) refuse('EINVAL', `${second} is not in ${number}`);
        return this.#place(element, this.#child(first as number), before);
      }
      case 'remove':
        return native.remove(this.#own(number, element));
      case 'delete':
        native.remove(this.#own(number, element));
        for (const event of this.#listeners.get(number)?.keys() ?? []) this.#unlisten(number, element, event);
        this.#elements.delete(number);
        this.#numbers.delete(element);
        return;
      case 'listen':
        return this.#listen(number, element, first as string);
      case 'unlisten':
        return this.#unlisten(number, element, first as string);
      case 'focus':
        if (native.isHtml(element)) native.focus(element);
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
    native.removeEventListener(this.root, 'submit', this.#noSubmit, true);
    this.#restore();
    this.#elements.clear();
    granted.delete(this.root);
  }

  /** Puts the element's own style back. */
  #restore(): void {
    const style = native.style(this.root);
    style.contain = this.#before.contain;
    if (this.#boxed && style.display === 'inline-block') style.display = this.#before.display;
    if (native.getAttribute(this.root, 'style') === '') native.removeAttribute(this.root, 'style');
  }

  /** Sees to it that what is in the element is drawn within it. What it looks like is known once it is on the page and shown. */
  #contain(): void {
    if (this.#contained || !native.isConnected(this.root)) return;
    let { display } = native.computedStyle(this.root);
    if (display === 'inline') {
      native.style(this.root).display = 'inline-block';
      this.#boxed = true;
      ({ display } = native.computedStyle(this.root));
    }
    if (display === 'inline' || UNCONTAINED.test(display)) refuse('EIO', `what is in an element with the style display: ${display} can't be kept within it`);
    this.#contained = display !== 'none';
  }

  /** The granted element's contents may be changed whatever it is, and those of what an agent could have made. */
  #mayChange(element: Element): void {
    if (element === this.root || (native.isHtml(element) && isTag(native.localName(element)))) return;
    refuse('EACCES', `an agent can't change a ${native.localName(element)}`);
  }

  /** Counts what is about to be made; where that would be too much, what is still there is counted first. */
  #charge(amount: number): void {
    if (this.#held + amount > HELD_MAX && performance.now() - this.#counted >= COUNT_EVERY) {
      this.#held = this.#count();
      this.#counted = performance.now();
    }
    if (this.#held + amount > HELD_MAX) refuse('ENOMEM', `an agent may have ${HELD_MAX} characters on a page, each node counted as ${NODE}`);
    this.#held += amount;
  }

  #count(): number {
    const tops = new Set<Node>([this.root]);
    for (const element of this.#elements.values()) if (!native.contains(this.root, element)) tops.add(native.topOf(element));
    let sum = 0;
    for (const top of tops) {
      // An element that the page has moved is the page's.
      if (top !== this.root && native.isConnected(top)) continue;
      for (const node of [top, ...native.everyNode(top)]) if (!this.#before.nodes.has(node)) sum += NODE + native.charactersOf(node);
    }
    return sum;
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
    if (!native.isConnected(this.root)) refuse('EIO', 'the element that was granted is on no page any more');
    if (native.isConnected(element) && !native.contains(this.root, element)) refuse('ENOENT', `element ${number} is elsewhere on the page`);
    return element;
  }

  /** An element that may be changed itself: the granted one is the page's. */
  #own(number: number, element: Element): Element {
    return number === ROOT ? refuse('EACCES', 'only what is in 1 can be changed') : element;
  }

  #child(number: number): Element {
    return this.#own(number, this.#element(number));
  }

  #field(element: Element): NonNullable<ReturnType<typeof native.field>> {
    return native.field(element) ?? refuse('ENOTSUP', `a ${native.localName(element)} has no value`);
  }

  #place(parent: Element, child: Element, before: Element | null): void {
    this.#mayChange(parent);
    this.#contain();
    try {
      native.insertBefore(parent, child, before);
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
    const problem = remove && unknownAttribute(native.localName(element), name);
    if (problem) refuse('EACCES', problem);
    if (remove) native.removeAttribute(element, name);
    else {
      const judged = this.#judge(element, name, value);
      if ('problem' in judged) refuse('EACCES', judged.problem);
      else native.setAttribute(element, name, judged.value);
    }
    harden(element);
  }

  #judge(element: Element, name: string, value: string): Judged {
    return judgeAttribute(native.localName(element), name, value, this.#mayLoad, native.hidesProperty);
  }

  /** Takes a style only as a whole. */
  #style(element: Element, text: string): void {
    const judged = this.#judgeStyle(text);
    if ('problem' in judged) refuse('EACCES', judged.problem);
    else setStyle(element, judged.value);
  }

  /** Has the browser read a style where nothing is loaded. What it made of it is set, so that nothing can be read otherwise. */
  #judgeStyle(text: string): Judged {
    const style = native.style(native.createElement(this.#inert, 'p'));
    style.cssText = text;
    const value = style.cssText;
    const problem = styleProblem(style, value);
    return problem === undefined ? { value } : { problem };
  }

  /**
   * Parses markup where nothing is loaded and nothing runs, and makes anew what is allowed of it: nothing that a parser has made reaches
   * the page, so nothing needs to be taken off it.
   */
  #html(element: Element, markup: string): void {
    const box = native.createElement(this.#inert, native.localName(element));
    try {
      native.setInnerHTML(box, this.trusted(markup));
    } catch (error) {
      refuse('ENOTSUP', `the page's policy lets no markup be parsed: ${(error as Error).message}`);
    }
    const made = native.createDocumentFragment(this.#document);
    if (this.#raw) for (const node of native.nodesIn(box)) native.insertBefore(made, native.adoptNode(this.#document, node), null);
    else {
      const held = this.#held;
      try {
        this.#copy(box, made);
      } catch (error) {
        // Nothing of it is left.
        this.#held = Math.min(this.#held, held);
        throw error;
      }
    }
    native.replaceChildren(element, made);
  }

  /** Copies what is allowed: texts, and elements with their attributes; with an element that isn't goes what is in it. */
  #copy(from: Node, to: Node): void {
    const pending: [from: Node, to: Node][] = [[from, to]];
    for (let next = pending.pop(); next; next = pending.pop()) {
      const [source, target] = next;
      for (const node of native.nodesIn(source)) {
        const kind = native.nodeType(node);
        if (kind === TEXT || kind === ELEMENT) this.#charge(NODE + native.charactersOf(node));
        if (kind === TEXT) native.insertBefore(target, native.createTextNode(this.#document, native.textContent(node) ?? ''), null);
        if (kind !== ELEMENT) continue;
        const copy = this.#copied(node as Element);
        if (!copy) continue;
        native.insertBefore(target, copy, null);
        pending.push([node, copy]);
      }
    }
  }

  #copied(element: Element): Element | undefined {
    const tag = native.localName(element);
    if (!native.isHtml(element) || !isTag(tag)) return undefined;
    const copy = native.createElement(this.#document, tag);
    for (const name of native.getAttributeNames(element)) {
      const value = native.getAttribute(element, name) ?? '';
      const judged = name === 'style' ? this.#judgeStyle(value) : this.#judge(copy, name, value);
      if ('problem' in judged) continue;
      if (name === 'style') setStyle(copy, judged.value);
      else native.setAttribute(copy, name, judged.value);
    }
    harden(copy);
    return copy;
  }

  #listen(number: number, element: Element, event: string): void {
    if (!/^[a-z]{1,32}$/.test(event)) refuse('EINVAL', `${event} can't be an event`);
    const listeners = this.#listeners.get(number) ?? new Map<string, (event: Event) => void>();
    if (listeners.has(event)) return;
    if (listeners.size >= LISTENERS_MAX) refuse('ENOSPC', `an element listens for ${LISTENERS_MAX} kinds of events at most`);
    const listener = (happened: Event): void => this.#tell(number, this.#line(happened));
    native.addEventListener(element, event, listener);
    this.#listeners.set(number, listeners.set(event, listener));
  }

  #unlisten(number: number, element: Element, event: string): void {
    const listeners = this.#listeners.get(number);
    const listener = listeners?.get(event);
    if (!listeners || !listener) return;
    native.removeEventListener(element, event, listener);
    listeners.delete(event);
    if (listeners.size === 0) this.#listeners.delete(number);
  }

  /** `EVENT TARGET KEY=VALUE…`: what an agent needs to know of an event. */
  #line(event: Event): string {
    const words = [event.type];
    const happened = native.isElement(event.target) ? event.target : null;
    let target = happened;
    while (target && !this.#numbers.has(target) && target !== this.root) target = native.parentElement(target);
    words.push(String((target && this.#numbers.get(target)) ?? ROOT));
    const tell = (key: string, value: unknown): number => words.push(`${key}=${escaped(String(value))}`);
    if (native.isMouseEvent(event)) {
      const corner = native.getBoundingClientRect(this.root);
      tell('x', Math.round(event.clientX - corner.left));
      tell('y', Math.round(event.clientY - corner.top));
      tell('button', event.button);
    }
    if (native.isKeyboardEvent(event)) {
      tell('key', event.key);
      tell('code', event.code);
    }
    if (native.isMouseEvent(event) || native.isKeyboardEvent(event)) {
      const held = [event.ctrlKey && 'ctrl', event.shiftKey && 'shift', event.altKey && 'alt', event.metaKey && 'meta'].filter(Boolean);
      if (held.length > 0) tell('held', held.join('+'));
    }
    const field = happened && native.field(happened);
    if (field) {
      tell('value', field.value(happened).slice(0, VALUE_TOLD));
      const checked = native.checked(happened);
      if (checked !== undefined) tell('checked', checked);
    }
    return words.join(' ');
  }
}

/** What every element of an agent has, whatever it sets: links open elsewhere and tell nothing, browsers fill nothing in. */
const HARDENED: Record<string, [name: string, value: string][]> = {
  a: [
    ['target', '_blank'],
    ['rel', 'noopener noreferrer nofollow'],
  ],
  input: [['autocomplete', 'off']],
  textarea: [['autocomplete', 'off']],
  select: [['autocomplete', 'off']],
  img: [['referrerpolicy', 'no-referrer']],
};

function harden(element: Element): void {
  for (const [name, value] of HARDENED[native.localName(element)] ?? []) native.setAttribute(element, name, value);
}

/** By the interface for it, which no policy of the page (`style-src`) forbids. */
function setStyle(element: Element, text: string): void {
  if (text === '' || !native.isHtml(element)) native.removeAttribute(element, 'style');
  else native.style(element).cssText = text;
}

/** Blanks, control characters and `%` as `%XX`. */
function escaped(text: string): string {
  return text.replace(/[\s%\u0000-\u001f\u007f]/g, (character) => encodeURIComponent(character));
}

/** Takes every node out that was not there before. */
function removeOthers(root: Node, before: Set<Node>): void {
  const pending = [root];
  for (let parent = pending.pop(); parent; parent = pending.pop()) {
    for (const node of native.nodesIn(parent)) {
      if (before.has(node)) pending.push(node);
      else native.removeChild(parent, node);
    }
  }
}

/** The part of the page below an element; `trusted` makes of markup what the page's policy lets be parsed. */
export function domPart(root: HTMLElement, trusted: (markup: string) => unknown): DomPart {
  return new DomPart(root, trusted);
}
