/**
 * One element of the page and what is below it, as `/cap/dom` has it. Everything that an agent asks for passes through here: elements
 * by number, parts of them as text, events as lines. It is loaded only when `dom` is granted. No property is read from an element directly: see
 * `native.ts`.
 */
import { CapfsError, reportThrown, type CapfsErrorCode } from '../../both/errors.js';
import type { DomPolicy } from '../../kernel-bindings.js';
import { Containment } from './containment.js';
import { Holding, NODE, NODES_MAX, PAINTED, PLACE, TRACK, weightOf } from './holding.js';
import { markupProblem, styleTextProblem, TOO_MANY_NODES } from './markup.js';
import * as native from './native.js';
import { isTag, judgeAttribute, paintedBy, spannedBy, styleProblem, tracksOf, unknownAttribute, type Judged, type MayLoad } from './policy.js';

/** Characters of text or markup that are read at once, at most: 16 Mi. */
const READ_MAX = 16 << 20;
/**
 * How deeply the elements of an agent may be nested, which bounds the time of everything that goes up or down the tree. Chromium's layout runs out of stack, which ends
 * the tab, at some 350 floating elements within each other.
 */
const DEPTH_MAX = 128;
/**
 * What a grid, and what a table or a ruby counts as where they are nested, and how much of that there may be. With a height in percent Firefox lays out twice what is
 * in each table, within each other 16 times as often; of 500 grids it takes a minute. In Chromium 200 tables are the end of the tab.
 */
const [GRID_NESTS, TABLE_NESTS, NESTING_MAX] = [1, 8, 32];
/** Kinds of events that one element listens for, at most. */
const LISTENERS_MAX = 64;
/** Characters of a field's value that an event tells. */
const VALUE_TOLD = 1_000;
/** The number of the element that was granted. */
const ROOT = 1;

/** Elements that agents have: no two agents share one, and none is within another agent's. */
const granted = new Set<Element>();

/** Elements that can't be given to an agent: their contents run, or are never shown. */
const NO_PLACE = new Set(['script', 'style', 'template', 'iframe', 'object', 'noscript']);
/** Kinds of nodes. */
const ELEMENT = 1;
const TEXT = 3;

const refuse = (code: CapfsErrorCode, message: string): never => {
  throw new CapfsError(code, message);
};

export class DomPart {
  readonly #numbers = new WeakMap<Element, number>();
  readonly #elements = new Map<number, Element>();
  readonly #listeners = new Map<number, Map<string, (event: Event) => void>>();
  readonly #inert: Document;
  readonly #containment: Containment;
  /** The nodes that were in the element before. */
  readonly #before: WeakSet<Node>;
  /** What elements of these counted as before the agent changed their attributes or values. */
  readonly #untouched = new WeakMap<Node, number>();
  /**
   * What the names of the agent's inputs begin with: radio buttons of one name are one choice wherever they are in a tree, the page's own with
   * them. Nobody else knows it, and the agent never sees it.
   */
  readonly #prefix = randomPrefix();
  #next = ROOT + 1;
  readonly #holding = new Holding(() => this.#count());
  #raw = false;
  #max = 0;
  #cleanup = true;
  #ended = false;
  #mayLoad: MayLoad = () => false;
  #tell: (element: number, line: string) => void = () => undefined;

  readonly #document: Document;

  /** @param trusted makes of markup what the page's policy lets be parsed */
  constructor(
    private readonly root: HTMLElement,
    private readonly trusted: (markup: string) => unknown,
  ) {
    if (!native.isElement(root) || !native.isHtml(root)) throw new CapfsError('GRANT_INVALID', 'dom: it needs an HTML element of the page');
    if (NO_PLACE.has(native.localName(root))) throw new CapfsError('GRANT_INVALID', `dom: an agent can't have a ${native.localName(root)}`);
    if (native.inForm(root)) throw new CapfsError('GRANT_INVALID', "dom: the element is in a form of the page, and the agent's fields would be sent with it");
    if (granted.has(root)) throw new CapfsError('GRANT_INVALID', 'dom: an agent has this element already');
    for (const other of granted) {
      if (native.isWithin(root, other)) throw new CapfsError('GRANT_INVALID', "dom: the element is in one that another agent has");
      if (native.isWithin(other, root)) throw new CapfsError('GRANT_INVALID', 'dom: another agent has an element in this one');
    }
    this.#document = native.ownerDocument(root)!;
    this.#inert = native.implementation(this.#document).createHTMLDocument('');
    this.#before = new WeakSet(native.nodesBelow(root));
    try {
      this.#containment = Containment.of(root);
    } catch (error) {
      throw new CapfsError('GRANT_INVALID', `dom: ${(error as Error).message}`);
    }
    granted.add(root);
    this.#number(root, ROOT);
  }

  /** Sets the policy, and the functions that are asked and told; called once. */
  begin({ raw, elements: max, cleanup }: DomPolicy, mayLoad: MayLoad, tell: (element: number, line: string) => void): void {
    [this.#raw, this.#max, this.#cleanup] = [raw, max, cleanup];
    this.#mayLoad = mayLoad;
    this.#tell = tell;
  }

  create(tag: string): number {
    if (!isTag(tag)) refuse('EACCES', `an agent can't make a ${tag}`);
    this.#holding.room(NODE + weightOf(tag));
    const element = native.createElement(this.#document, tag);
    harden(element);
    const number = this.#take(element);
    this.#holding.changed(counted(element));
    return number;
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
        return this.#attributes(element)
          .map((name) => `${name} ${this.#shown(native.getAttribute(element, name) ?? '').replaceAll('\n', ' ')}\n`)
          .join('');
      case 'text':
        return native.textContent(element) ?? '';
      case 'html':
        return this.#shown(native.innerHTML(element));
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
    switch (part) {
      case 'attrs':
        return this.#altered(this.#own(number, element), text, () => this.#attribute(element, text));
      case 'style':
        return this.#altered(this.#own(number, element), text, () => this.#style(element, text));
      case 'text':
        return this.#filled(element, text === '' ? 0 : NODE + text.length, () => native.setTextContent(element, text));
      case 'html':
        return this.#html(element, text);
      case 'value':
        return this.#altered(element, text, () => this.#field(element).set(element, text));
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
        for (const event of [...(this.#listeners.get(number)?.keys() ?? [])]) this.#unlisten(number, element, event);
        this.#elements.delete(number);
        this.#numbers.delete(element);
        this.#holding.changed(-this.#letGo(element));
        return;
      case 'listen':
        return this.#listen(number, element, first as string);
      case 'unlisten':
        return this.#unlisten(number, element, first as string);
      case 'focus':
        return this.#focus(element);
    }
  }

  /** Removes what the agent added, unless that is to stay, and all its listeners. Never throws: failures are reported. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    try {
      for (const [number, events] of this.#listeners) {
        const element = this.#elements.get(number);
        for (const event of [...events.keys()]) if (element) this.#unlisten(number, element, event);
      }
      if (this.#cleanup) removeOthers(this.root, this.#before);
    } catch (error) {
      reportThrown(error);
    } finally {
      this.#containment.leave();
      this.#elements.clear();
      granted.delete(this.root);
    }
  }

  /** The granted element's contents may be changed whatever it is, and those of what an agent could have made. */
  #mayChange(element: Element): void {
    const may = element === this.root || (native.isHtml(element) && isTag(native.localName(element)));
    if (!may) refuse('EACCES', `an agent can't change a ${native.localName(element)}`);
    if (native.contains(this.root, element)) this.#containment.check();
  }

  /** What a node counts as for the agent: of the page's own, what the agent has added to it. */
  #counted(node: Node): number {
    if (!this.#before.has(node)) return counted(node);
    const untouched = this.#untouched.get(node);
    return untouched === undefined ? 0 : Math.max(0, counted(node) - untouched);
  }

  #count(): number {
    const tops = new Set<Node>([this.root]);
    for (const element of this.#elements.values()) if (!native.contains(this.root, element)) tops.add(native.topOf(element));
    let sum = 0;
    const add = (node: Node): void => {
      sum += this.#counted(node);
    };
    for (const top of tops) {
      // An element that the page has moved is the page's.
      if (top !== this.root && native.isConnected(top)) continue;
      if (top !== this.root) add(top);
      for (const node of native.nodesBelow(top)) add(node);
    }
    for (const events of this.#listeners.values()) sum += NODE * events.size;
    return sum;
  }

  /** What of a node that is taken out nobody has any more: nothing, where an element in it has a number, by which all around it can be reached. */
  #letGo(node: Node): number {
    const has = (of: Node): boolean => native.isElement(of) && this.#numbers.has(of);
    let sum = 0;
    const add = (of: Node): void => {
      sum += this.#counted(of);
    };
    if (has(node)) return 0;
    add(node);
    for (const inside of native.nodesBelow(node)) {
      if (has(inside)) return 0;
      add(inside);
    }
    return sum;
  }

  /** What nobody has any more of what is in an element, once that is replaced. */
  #within(element: Element): number {
    let sum = 0;
    for (const child of native.nodesIn(element)) sum += this.#letGo(child);
    return sum;
  }

  /** Changes what an element itself has, its attributes or its value, by a text: it counts as what it is afterwards instead of as what it was. */
  #altered(element: Element, text: string, change: () => void): void {
    this.#holding.room(text.length + drawnFor(text));
    if (this.#before.has(element) && !this.#untouched.has(element)) this.#untouched.set(element, counted(element));
    const before = this.#counted(element);
    change();
    this.#holding.changed(this.#counted(element) - before);
  }

  /** Replaces all that is in an element by what counts as so much. */
  #filled(element: Element, amount: number, change: () => void): void {
    const gone = this.#within(element);
    this.#holding.room(amount - gone);
    change();
    this.#holding.changed(amount - gone);
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
    this.#deep(parent, child, true);
    try {
      native.insertBefore(parent, child, before);
    } catch (error) {
      refuse('EINVAL', (error as Error).message);
    }
  }

  /** That something can be put into an element: a child, or all that is in a box, as whose children they were parsed. */
  #deep(parent: Element, what: Element, isChild: boolean): void {
    const height = native.heightOf(what) + (isChild ? 1 : 0);
    if (native.depthIn(parent, this.root) + height > DEPTH_MAX) refuse('ENOSPC', `elements of an agent are nested ${DEPTH_MAX} deep at most`);
    this.#nested(parent, native.heightOf(what, nests) + (isChild ? nests(what, parent) : 0));
  }

  /** That what nests so deeply can be put into an element. */
  #nested(parent: Element | null, levels: number): void {
    // Most often it doesn't.
    if (levels > 0 && parent && native.depthIn(parent, this.root, nests) + levels > NESTING_MAX) {
      refuse('ENOSPC', `of an agent, grids are nested ${NESTING_MAX / GRID_NESTS} deep at most, tables and ruby ${NESTING_MAX / TABLE_NESTS}`);
    }
  }

  /** Focuses an element, if the focus is in the agent's part already or nowhere: what a person types elsewhere isn't meant for the agent. */
  #focus(element: Element): void {
    const active = native.focused(this.root);
    if (active && !native.contains(this.root, active)) refuse('EACCES', 'the focus is elsewhere on the page');
    if (native.isHtml(element)) native.focus(element, { preventScroll: true });
  }

  /** The names of an element's attributes, unless there are too many to look at them. */
  #attributes(element: Element): string[] {
    const names = native.getAttributeNames(element);
    if (names.length > native.ATTRIBUTES_MAX) refuse('EFBIG', `the element has ${names.length} attributes`);
    return names;
  }

  /** A text of the page, with names as the agent gave them. */
  #shown(text: string): string {
    return text.replaceAll(this.#prefix, '');
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
      if ('problem' in judged) return refuse('EACCES', judged.problem);
      const names = native.getAttributeNames(element);
      if (names.length >= native.ATTRIBUTES_MAX && !names.includes(name)) refuse('ENOSPC', `an element has ${native.ATTRIBUTES_MAX} attributes at most`);
      const tag = native.localName(element);
      if (name === 'type') this.#holding.room(weightOf(tag, judged.value));
      this.#holding.room(PLACE * spannedBy(tag, (other) => (other === name ? judged.value : native.getAttribute(element, other))));
      native.setAttribute(element, name, judged.value);
    }
    harden(element);
  }

  #judge(element: Element, name: string, value: string): Judged {
    const tag = native.localName(element);
    const judged = judgeAttribute(tag, name, value, this.#mayLoad, native.hidesProperty);
    return 'value' in judged && tag === 'input' && name === 'name' && value !== '' ? { value: this.#prefix + value } : judged;
  }

  /** Takes a style only as a whole. */
  #style(element: Element, text: string): void {
    const judged = this.#judgeStyle(text);
    if ('problem' in judged) return void refuse('EACCES', judged.problem);
    if (judged.grid && nests(element) === 0) this.#nested(native.parentElement(element), GRID_NESTS + native.heightOf(element, nests));
    setStyle(element, judged.value);
  }

  /** Has the browser read a style where nothing is loaded. What it made of it is set, so that nothing can be read otherwise. */
  #judgeStyle(text: string): Judged & { grid?: boolean } {
    const long = styleTextProblem(text);
    if (long !== undefined) return { problem: long };
    const style = native.style(native.createElement(this.#inert, 'p'));
    style.cssText = text;
    const value = style.cssText;
    const problem = styleProblem(style, (property) => style.getPropertyValue(property), value);
    return problem === undefined ? { value, grid: isGrid(style) } : { problem };
  }

  /**
   * Parses markup where nothing is loaded and nothing runs, and makes anew what is allowed of it: nothing that a parser has made reaches
   * the page, so nothing needs to be taken off it.
   */
  #html(element: Element, markup: string): void {
    const problem = this.#raw ? undefined : markupProblem(markup);
    if (problem !== undefined) refuse('EFBIG', problem);
    const box = native.createElement(this.#inert, native.localName(element));
    try {
      native.setInnerHTML(box, this.trusted(markup));
    } catch (error) {
      refuse('ENOTSUP', `the page's policy lets no markup be parsed: ${(error as Error).message}`);
    }
    this.#deep(element, box, false);
    const made = native.createDocumentFragment(this.#document);
    let amount = 0;
    if (this.#raw) {
      amount = markup.length;
      for (const node of native.nodesIn(box)) native.insertBefore(made, native.adoptNode(this.#document, node), null);
    } else amount = this.#copy(box, made, this.#within(element));
    this.#filled(element, amount, () => native.replaceChildren(element, made));
  }

  /**
   * Copies what is allowed: texts, and elements with their attributes; with an element that isn't goes what is in it. What it counts as, in the place of what
   * is `gone` then.
   */
  #copy(from: Node, to: Node, gone: number): number {
    let [nodes, amount] = [0, 0];
    const pending: [from: Node, to: Node][] = [[from, to]];
    for (let next = pending.pop(); next; next = pending.pop()) {
      const [source, target] = next;
      for (const node of native.nodesIn(source)) {
        const kind = native.nodeType(node);
        nodes += 1;
        if (nodes > NODES_MAX) refuse('EFBIG', TOO_MANY_NODES);
        if (kind !== TEXT && kind !== ELEMENT) continue;
        const copy = kind === TEXT ? native.createTextNode(this.#document, native.textContent(node) ?? '') : this.#copied(node as Element);
        if (!copy) continue;
        amount += counted(copy);
        this.#holding.room(amount - gone);
        native.insertBefore(target, copy, null);
        if (kind === ELEMENT) pending.push([node, copy]);
      }
    }
    return amount;
  }

  #copied(element: Element): Element | undefined {
    const tag = native.localName(element);
    if (!native.isHtml(element) || !isTag(tag)) return undefined;
    const names = native.getAttributeNames(element);
    if (names.length > native.ATTRIBUTES_MAX) return undefined;
    const copy = native.createElement(this.#document, tag);
    for (const name of names) {
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
    this.#holding.room(NODE);
    const listener = (happened: Event): void => this.#tell(number, this.#line(happened));
    native.addEventListener(element, event, listener);
    this.#listeners.set(number, listeners.set(event, listener));
    this.#holding.changed(NODE);
  }

  #unlisten(number: number, element: Element, event: string): void {
    const listeners = this.#listeners.get(number);
    const listener = listeners?.get(event);
    if (!listeners || !listener) return;
    native.removeEventListener(element, event, listener);
    listeners.delete(event);
    this.#holding.changed(-NODE);
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

/** What a style counts as beside its characters. */
const drawnFor = (style: string): number => PAINTED * paintedBy(style) + TRACK * tracksOf(style);

/** Parts of tables and of ruby, with what they are in. One that is elsewhere has a table, or a ruby, made around it. */
const PARTS: Record<string, string> = {
  table: '', ruby: '', caption: 'table', colgroup: 'table', col: 'colgroup table', thead: 'table', tbody: 'table', tfoot: 'table', tr: 'table thead tbody tfoot',
  td: 'tr', th: 'tr', rt: 'ruby', rp: 'ruby',
};

/** What a node counts as among nested ones. `parent` is what it is in, or is to be put into. */
function nests(node: Node, parent: Node | null = native.parentNode(node)): number {
  if (!native.isElement(node) || !native.isHtml(node)) return 0;
  const places = PARTS[native.localName(node)];
  if (places !== undefined && !(parent && native.isElement(parent) && places.split(' ').includes(native.localName(parent)))) return TABLE_NESTS;
  return native.getAttribute(node, 'style') !== null && isGrid(native.style(node)) ? GRID_NESTS : 0;
}

const isGrid = (style: CSSStyleDeclaration): boolean => style.display.includes('grid');

/** What a node counts as. */
function counted(node: Node): number {
  const characters = NODE + native.charactersOf(node);
  if (!native.isElement(node) || !native.isHtml(node)) return characters;
  const tag = native.localName(node);
  const spanned = PLACE * spannedBy(tag, (name) => native.getAttribute(node, name));
  return characters + drawnFor(native.getAttribute(node, 'style') ?? '') + spanned + weightOf(tag, tag === 'input' ? native.inputType(node as HTMLInputElement) : undefined);
}

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

/** Takes every node out that was not there before. What the page does at the sight of it may move others. */
function removeOthers(root: Node, before: WeakSet<Node>): void {
  const pending = [root];
  for (let parent = pending.pop(); parent; parent = pending.pop()) {
    for (const node of [...native.nodesIn(parent)]) {
      if (before.has(node)) pending.push(node);
      else if (native.parentNode(node) === parent) {
        try {
          native.removeChild(parent, node);
        } catch (error) {
          reportThrown(error);
        }
      }
    }
  }
}

const randomPrefix = (): string => `${[...crypto.getRandomValues(new Uint32Array(4))].map((word) => word.toString(16).padStart(8, '0')).join('')}-`;

/** The part of the page below an element; `trusted` makes of markup what the page's policy lets be parsed. */
export function domPart(root: HTMLElement, trusted: (markup: string) => unknown): DomPart {
  return new DomPart(root, trusted);
}
