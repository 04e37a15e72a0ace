/** Builds DOM elements without markup in strings, so that nothing an agent prints or names can become markup. */

/** What an element may contain; `null`, `undefined` and `false` stand for nothing. */
export type Child = Node | string | number | null | undefined | false;

type Listeners = { [K in keyof HTMLElementEventMap as `on${K}`]?: (event: HTMLElementEventMap[K]) => void };

/** Attributes by name (`true` makes an empty one, `false` and `undefined` none) and listeners as `onclick` and so on. */
export type Attributes = Listeners & { [name: string]: unknown };

/** Makes an element with attributes, listeners and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on') && typeof value === 'function') {
      node.addEventListener(name.slice(2), value as EventListener);
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...solid(children));
  return node;
}

/** Replaces everything inside `node`. */
export function fill(node: Element, ...children: Child[]): void {
  node.replaceChildren(...solid(children));
}

/** Makes one SVG element; attributes only, as charts need no more. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number> = {},
  ...children: SVGElement[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** The element of the page with this id; its absence is a mistake in `index.html`. */
export function byId(id: string): HTMLElement {
  const node = document.getElementById(id);
  if (!node) throw new Error(`index.html has no element #${id}`);
  return node;
}

/** Tells users of a screen reader, and nobody else, what just happened. */
export function announce(text: string): void {
  byId('announcer').textContent = text;
}

let ids = 0;
/** A new id for `aria-controls`, `aria-labelledby` and `for`. */
export function freshId(prefix: string): string {
  return `${prefix}-${++ids}`;
}

function solid(children: Child[]): (Node | string)[] {
  return children.flatMap((child) =>
    child === null || child === undefined || child === false
      ? []
      : [child instanceof Node ? child : String(child)],
  );
}
