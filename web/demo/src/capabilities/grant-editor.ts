/** The list of what a new agent will be granted: each line can be changed and taken away, and others added. */
import { el, fill, freshId } from '../element.js';
import { about, DEVICES, joinGrant, splitGrant } from './devices.js';

export class GrantEditor {
  readonly element: HTMLElement;
  readonly #rows = el('ul', { class: 'grants', 'aria-label': 'Granted capabilities' });
  readonly #add = el('select', { 'aria-label': 'Grant another capability', 'data-role': 'add-grant', onchange: () => this.#append() });
  readonly #changed: () => void;
  #grants: string[] = [];

  /** `changed` hears of every change that the user makes. */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.element = el('div', { class: 'grant-editor' }, this.#rows, this.#add);
    this.#draw();
  }

  /** The grants as flags, in their order. */
  get grants(): string[] {
    return [...this.#grants];
  }

  set grants(grants: readonly string[]) {
    this.#grants = [...grants];
    this.#draw();
  }

  #append(): void {
    const device = DEVICES.find(({ name }) => name === this.#add.value);
    if (!device) return;
    this.#grants.push(joinGrant(device.name, device.terms()));
    this.#draw();
    this.#rows.querySelector<HTMLInputElement>('li:last-child input')?.focus();
    this.#changed();
  }

  #draw(): void {
    fill(this.#rows, ...this.#grants.map((grant, index) => this.#row(grant, index)));
    fill(
      this.#add,
      el('option', { value: '' }, this.#grants.length > 0 ? 'Grant more…' : 'Grant a capability…'),
      ...DEVICES.map(({ name, about }) => el('option', { value: name }, `${name}: ${about}`)),
    );
    this.#add.value = '';
  }

  #row(grant: string, index: number): HTMLElement {
    const [device, terms] = splitGrant(grant);
    const input = el('input', {
      id: freshId('terms'),
      value: terms,
      placeholder: 'no terms',
      'aria-label': `Terms of ${device}`,
      autocomplete: 'off',
      autocapitalize: 'off',
      spellcheck: 'false',
      oninput: () => {
        this.#grants[index] = joinGrant(device, input.value);
        this.#changed();
      },
    });
    const remove = (): void => {
      this.#grants.splice(index, 1);
      this.#draw();
      this.#add.focus();
      this.#changed();
    };
    return el(
      'li',
      { 'data-grant': device },
      el('label', { for: input.id }, el('code', {}, device), el('small', {}, about(device))),
      el('span', { class: 'terms' }, input, el('button', { type: 'button', 'aria-label': `Take ${device} away`, onclick: remove }, '×')),
    );
  }
}
