/**
 * Reads and changes elements by the platform's own getters and methods, taken from the prototypes once, before any agent has a part of the page.
 *
 * A property read from an element directly may be something else: the controls of a form become properties of it by their names, and hide
 * its own (`[LegacyOverrideBuiltIns]`, <https://html.spec.whatwg.org/#the-form-element>), and so do images and frames of a document.
 * A check that used such a property would rely on what an agent has put there.
 */

type Methods<T> = { [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never }[keyof T];
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;
type Result<F> = F extends (...args: never[]) => infer R ? R : never;

const { apply } = Reflect;

/** The descriptor of a property, wherever on the chain of prototypes this browser has it. */
function found(prototype: object, name: PropertyKey): PropertyDescriptor {
  for (let at: object | null = prototype; at; at = Object.getPrototypeOf(at) as object | null) {
    const descriptor = Object.getOwnPropertyDescriptor(at, name);
    if (descriptor) return descriptor;
  }
  throw new TypeError(`this browser's elements have no ${String(name)}`);
}

function getter<T extends object, K extends keyof T>(prototype: T, name: K): (of: T) => T[K] {
  const get = found(prototype, name).get!;
  return (of) => apply(get, of, []) as T[K];
}

function setter<T extends object, K extends keyof T>(prototype: T, name: K): (of: T, value: T[K]) => void {
  const set = found(prototype, name).set!;
  return (of, value) => void apply(set, of, [value]);
}

function method<T extends object, K extends Methods<T>>(prototype: T, name: K): (of: T, ...args: Arguments<T[K]>) => Result<T[K]> {
  const call = found(prototype, name).value as (...args: unknown[]) => unknown;
  return (of, ...args) => apply(call, of, args) as Result<T[K]>;
}

const node = Node.prototype;
export const nodeType = getter(node, 'nodeType');
export const ownerDocument = getter(node, 'ownerDocument');
export const parentNode = getter(node, 'parentNode');
export const parentElement = getter(node, 'parentElement');
export const firstChild = getter(node, 'firstChild');
export const nextSibling = getter(node, 'nextSibling');
export const isConnected = getter(node, 'isConnected');
export const textContent = getter(node, 'textContent');
export const setTextContent = setter(node, 'textContent');
export const contains = method(node, 'contains');
export const removeChild = method(node, 'removeChild');
/** Puts a node before another one, or at the end. */
export const insertBefore: (parent: Node, child: Node, before: Node | null) => Node = method(node, 'insertBefore');

const element = Element.prototype;
export const localName = getter(element, 'localName');
export const namespaceURI = getter(element, 'namespaceURI');
export const innerHTML = getter(element, 'innerHTML');
export const setInnerHTML = setter(element, 'innerHTML') as (of: Element, markup: unknown) => void;
export const firstElementChild = getter(element, 'firstElementChild');
export const nextElementSibling = getter(element, 'nextElementSibling');
export const getAttributeNames = method(element, 'getAttributeNames');
export const getAttribute = method(element, 'getAttribute');
export const setAttribute = method(element, 'setAttribute');
export const removeAttribute = method(element, 'removeAttribute');
export const getBoundingClientRect = method(element, 'getBoundingClientRect');
export const remove = method(element, 'remove');
export const replaceChildren = method(element, 'replaceChildren') as (of: Element, ...nodes: Node[]) => void;

const html = HTMLElement.prototype;
export const style = getter(html, 'style');
export const focus = method(html, 'focus');

const document = Document.prototype;
export const createElement = method(document, 'createElement') as (of: Document, tag: string) => HTMLElement;
export const createTextNode = method(document, 'createTextNode');
export const createDocumentFragment = method(document, 'createDocumentFragment');
export const adoptNode = method(document, 'adoptNode') as (of: Document, node: Node) => Node;
export const implementation = getter(document, 'implementation');
const documentActive = getter(document, 'activeElement');
const documentBody = getter(document, 'body');
const documentElement = getter(document, 'documentElement');
const shadowActive = getter(ShadowRoot.prototype, 'activeElement');
/** `getComputedStyle` as the page's window had it at first: the page may have replaced it. */
export const computedStyle = globalThis.getComputedStyle.bind(globalThis);

const target = EventTarget.prototype;
type Listener = (of: EventTarget, type: string, listener: (event: Event) => void, capture?: boolean) => void;
export const addEventListener = method(target, 'addEventListener') as Listener;
export const removeEventListener = method(target, 'removeEventListener') as Listener;

/** Elements that a person types into, by tag. */
const FIELDS = {
  input: { value: getter(HTMLInputElement.prototype, 'value'), set: setter(HTMLInputElement.prototype, 'value') },
  textarea: { value: getter(HTMLTextAreaElement.prototype, 'value'), set: setter(HTMLTextAreaElement.prototype, 'value') },
  select: { value: getter(HTMLSelectElement.prototype, 'value'), set: setter(HTMLSelectElement.prototype, 'value') },
} as unknown as Record<string, { value: (of: Element) => string; set: (of: Element, value: string) => void } | undefined>;

export const inputType = getter(HTMLInputElement.prototype, 'type');
const inputChecked = getter(HTMLInputElement.prototype, 'checked');

const HTML_NAMESPACE = 'http://www.w3.org/1999/xhtml';
const ELEMENT_NODE = 1;

export function isElement(value: unknown): value is Element {
  try {
    return nodeType(value as Node) === ELEMENT_NODE;
  } catch {
    return false;
  }
}

/** Whether an object is what a getter reads of, whichever window has made it. */
const branded =
  <T extends object>(get: (of: T) => unknown) =>
  (value: object): value is T => {
    try {
      get(value as T);
      return true;
    } catch {
      return false;
    }
  };
export const isMouseEvent = branded(getter(MouseEvent.prototype, 'clientX'));
export const isKeyboardEvent = branded(getter(KeyboardEvent.prototype, 'code'));

const shadowHost = getter(ShadowRoot.prototype, 'host');
const isShadowRoot = branded(shadowHost);

/** Whether a node is another one, or in it, however many shadow trees are between them. */
export function isWithin(of: Node, other: Node): boolean {
  for (let at: Node | null = of; at; at = parentNode(at) ?? (isShadowRoot(at as ShadowRoot) ? shadowHost(at as ShadowRoot) : null)) if (at === other) return true;
  return false;
}

/** Whether an element is of HTML: not of SVG or MathML, whose elements may be called alike. */
export const isHtml = (of: Element): of is HTMLElement => namespaceURI(of) === HTML_NAMESPACE;

/** How the value of a field is read and set, if an element is one. */
export const field = (of: Element) => (isHtml(of) && Object.hasOwn(FIELDS, localName(of)) ? FIELDS[localName(of)] : undefined);

/** Whether a box or a radio button is checked, if an element is one. */
export function checked(of: Element): boolean | undefined {
  if (!isHtml(of) || localName(of) !== 'input') return undefined;
  const input = of as HTMLInputElement;
  return ['checkbox', 'radio'].includes(inputType(input)) ? inputChecked(input) : undefined;
}

/** Whether a control of this name would hide a property of its form's. */
export const hidesProperty = (name: string): boolean => name in HTMLFormElement.prototype;

/** The nodes in another one, in its order. */
export function* nodesIn(parent: Node): Generator<Node> {
  for (let child = firstChild(parent), next: ChildNode | null; child; child = next) {
    // Before it may be moved or taken out.
    next = nextSibling(child);
    yield child;
  }
}

export function* elementsIn(parent: Element): Generator<Element> {
  for (let child = firstElementChild(parent); child; child = nextElementSibling(child)) yield child;
}

/** Every node below one, in the document's order. Without recursion and without a list: an agent may have nested them deeply, and may have many. */
export function* nodesBelow(root: Node): Generator<Node> {
  for (let at: Node | null = firstChild(root); at; ) {
    yield at;
    let next: Node | null = firstChild(at);
    for (let up: Node | null = at; !next && up && up !== root; up = parentNode(up)) next = nextSibling(up);
    at = next;
  }
}

/** Nodes between one and another above it, or the topmost one, each counted as 1 or as `counts` says. */
export function depthIn(of: Node, root: Node, counts: (node: Node) => number = () => 1): number {
  let depth = 0;
  for (let at: Node | null = of; at && at !== root; at = parentNode(at)) depth += counts(at);
  return depth;
}

/** How deeply nodes are nested below one, each counted as 1 or as `counts` says. */
export function heightOf(of: Node, counts: (node: Node) => number = () => 1): number {
  let [height, depth] = [0, 0];
  for (let at: Node | null = firstChild(of); at; ) {
    depth += counts(at);
    height = Math.max(height, depth);
    let next: Node | null = firstChild(at);
    for (let up: Node | null = at; !next && up && up !== of; up = parentNode(up)) {
      depth -= counts(up);
      next = nextSibling(up);
    }
    at = next;
  }
  return height;
}

/** Attributes of an element whose values are looked at, at most: to find one takes as long as there are others. */
export const ATTRIBUTES_MAX = 256;

/**
 * The characters of a node itself: of a text, of an element's attributes and what is written into it. Of more attributes than are looked at it is those of
 * their names.
 */
export function charactersOf(of: Node): number {
  if (!isElement(of)) return textContent(of)?.length ?? 0;
  const names = getAttributeNames(of);
  const valued = names.length <= ATTRIBUTES_MAX;
  const attributes = names.reduce((sum, name) => sum + name.length + (valued ? (getAttribute(of, name)?.length ?? 0) : 0), 0);
  return attributes + (field(of)?.value(of).length ?? 0);
}

/** The topmost node above one, or itself. */
export function topOf(of: Node): Node {
  let top = of;
  for (let at: Node | null = of; at; at = parentNode(at)) top = at;
  return top;
}

const DOCUMENT_FRAGMENT = 11;

/** What has the focus, as the tree of a node sees it: nothing where it is on the page as a whole, or in no part of it that this tree knows. */
export function focused(of: Node): Element | null {
  const [top, page] = [topOf(of), ownerDocument(of)!];
  // A tree in the shadow of an element has a focus of its own; without it, the page's may be elsewhere.
  const active = (nodeType(top) === DOCUMENT_FRAGMENT ? shadowActive(top as ShadowRoot) : null) ?? documentActive(page);
  return active === documentBody(page) || active === documentElement(page) ? null : active;
}

/** Whether an element is a form's, or a form. */
export function inForm(of: Element): boolean {
  for (let at: Element | null = of; at; at = parentElement(at)) if (isHtml(at) && localName(at) === 'form') return true;
  return false;
}
