/**
 * Keeps what is in an element of the page within it: drawn there, fixed positions included, and its forms sent nowhere. It begins with
 * the first agent that has the element and lasts as long as anything of an agent's is in it, which may be longer than the agent.
 */
import { CapfsError } from '../../both/errors.js';
import * as native from './native.js';

/** How an element looks that has no box which `contain` works on: CSS Containment Level 2, 3.2 and 3.4. */
const UNCONTAINED = /^(contents|table-(row|column|header|footer)(-group)?|ruby.*)$/;
/** The same, but it can be made a box: whatever a browser calls inline, now or later, that is none of the boxes in a line. */
const INLINE = /^inline(?!-(block|flex|grid|table)$)/;
/** The attributes by which a page changes how an element looks. */
const LOOKS = ['class', 'hidden', 'style'];

/** A property as it stood in an element's own style. */
type Declared = [value: string, priority: string];

/** Elements that no agent has any more, with something of an agent's in them. */
const left = new WeakMap<Element, Containment>();

export class Containment {
  /** What was there before the first agent. */
  readonly #pages: WeakSet<Node>;
  readonly #contain: Declared;
  readonly #display: Declared;
  readonly #noSubmit = (event: Event): void => event.preventDefault();
  /** The display of an element changes by its attributes, or by whatever makes a box of another size of it: a rule for narrower windows. */
  readonly #looks = new MutationObserver(() => this.#look());
  readonly #size = new ResizeObserver(() => this.#look());
  readonly #nodes = new MutationObserver(() => this.#restoreIfEmpty());
  /** Whether it was made a box. */
  #boxed = false;
  /** Whether it was contained once: then there may be something in it. */
  #begun = false;
  #problem: string | undefined = 'it is on no page';
  #hidden = false;

  /**
   * The element's containment; the one that there is, where something of an earlier agent is left in it.
   *
   * @throws CapfsError `EIO` where the element, as it is shown, can't be contained
   */
  static of(root: HTMLElement): Containment {
    const there = left.get(root);
    if (!there) return new Containment(root);
    left.delete(root);
    there.#nodes.disconnect();
    return there;
  }

  private constructor(private readonly root: HTMLElement) {
    this.#pages = new WeakSet(native.nodesBelow(root));
    [this.#contain, this.#display] = [this.#declared('contain'), this.#declared('display')];
    native.addEventListener(root, 'submit', this.#noSubmit, true);
    this.#look();
    if (native.isConnected(root) && this.#problem !== undefined && !this.#hidden) {
      this.#restore();
      throw new CapfsError('EIO', this.#problem);
    }
    this.#looks.observe(root, { attributes: true, attributeFilter: LOOKS });
    this.#size.observe(root);
  }

  /**
   * That what is put into the element now will be drawn within it.
   *
   * @throws CapfsError `EIO`
   */
  check(): void {
    // An element that is on no page yet is drawn nowhere; it is looked at before something is put into it there.
    if (this.#problem !== undefined) this.#look();
    if (this.#problem !== undefined && native.isConnected(this.root)) throw new CapfsError('EIO', this.#problem);
  }

  /** The agent has ended. The element is as it was before, as soon as nothing is in it that wasn't. */
  leave(): void {
    left.set(this.root, this);
    this.#nodes.observe(this.root, { childList: true, subtree: true });
    this.#restoreIfEmpty();
  }

  #restoreIfEmpty(): void {
    for (const node of native.nodesBelow(this.root)) if (!this.#pages.has(node)) return;
    this.#restore();
  }

  #restore(): void {
    left.delete(this.root);
    for (const observer of [this.#looks, this.#size, this.#nodes]) observer.disconnect();
    native.removeEventListener(this.root, 'submit', this.#noSubmit, true);
    this.#declare('contain', this.#contain);
    if (this.#boxed && this.#declared('display')[0] === 'inline-block') this.#declare('display', this.#display);
    if (native.getAttribute(this.root, 'style') === '') native.removeAttribute(this.root, 'style');
  }

  /** Looks at how the element is shown, and makes a box of it where it is none. What it looks like is known once it is on the page. */
  #look(): void {
    const [contain, priority] = this.#declared('contain');
    if (contain !== 'content' || priority === '') this.#declare('contain', ['content', 'important']);
    if (!native.isConnected(this.root)) return;
    let { display } = native.computedStyle(this.root);
    if (INLINE.test(display) || (this.#begun && UNCONTAINED.test(display))) {
      this.#declare('display', ['inline-block', 'important']);
      this.#boxed = true;
      ({ display } = native.computedStyle(this.root));
    }
    this.#hidden = display === 'none';
    if (this.#hidden) this.#problem = 'an element with the style display: none may be shown as one that keeps nothing within it: show it first';
    else if (INLINE.test(display) || UNCONTAINED.test(display)) this.#problem = `what is in an element with the style display: ${display} can't be kept within it`;
    else [this.#problem, this.#begun] = [undefined, true];
  }

  #declared(property: string): Declared {
    const style = native.style(this.root);
    return [style.getPropertyValue(property), style.getPropertyPriority(property)];
  }

  #declare(property: string, [value, priority]: Declared): void {
    const style = native.style(this.root);
    if (value === '') style.removeProperty(property);
    else style.setProperty(property, value, priority);
  }
}
