/** What a new agent will be granted, in plain words: each grant can be changed and taken away, and others added. */
import { announce, el, fill, freshId, type Child } from '../element.js';
import { DEVICES, deviceInfo, startOf } from './devices.js';
import { placeOf, readGrant, writeGrant, type GrantDraft, type Term } from './grant.js';
import { sentence, type Words } from './sentence.js';

/** What the kernel says of a grant: nothing where it can be given. */
export type Check = (flag: string) => string | null;

/** A grant and what of it is on the page. */
interface Card {
  readonly draft: GrantDraft;
  readonly element: HTMLElement;
  readonly says: HTMLElement;
  readonly problem: HTMLElement;
}

export class GrantEditor {
  readonly element: HTMLElement;
  readonly #rows = el('ul', { class: 'grants', 'aria-label': 'Granted capabilities' });
  readonly #add = el('select', { 'aria-label': 'Grant another capability', 'data-role': 'add-grant', onchange: () => this.#append() });
  readonly #changed: () => void;
  readonly #check: Check;
  #cards: Card[] = [];

  /** `changed` hears of every change that the user makes. */
  constructor(check: Check, changed: () => void) {
    this.#check = check;
    this.#changed = changed;
    this.element = el('div', { class: 'grant-editor' }, this.#rows, this.#add);
    this.#draw();
  }

  /** The grants as flags, in their order. */
  get grants(): string[] {
    return this.#cards.map(({ draft }) => writeGrant(draft));
  }

  set grants(grants: readonly string[]) {
    this.#cards = grants.map((grant) => this.#card(readGrant(grant)));
    this.#draw();
  }

  /** Says of each grant again what is wrong with it. */
  check(): void {
    for (const card of this.#cards) this.#say(card);
  }

  /** Whether each grant can be given; otherwise the first that can't is opened, and its field has the focus. */
  valid(): boolean {
    const wrong = this.#cards.find((card) => !card.problem.hidden);
    if (!wrong) return true;
    const details = wrong.element.querySelector('details');
    if (details) details.open = true;
    (wrong.element.querySelector<HTMLElement>('[aria-invalid=true]') ?? wrong.element.querySelector<HTMLElement>('.terms input, .terms select'))?.focus();
    return false;
  }

  #append(): void {
    const device = DEVICES.find(({ name }) => name === this.#add.value);
    if (!device) return;
    const card = this.#card({ device: device.name, terms: startOf(device) });
    this.#cards.push(card);
    this.#draw();
    card.element.querySelector('summary')?.focus();
    announce(`${device.name} was granted`);
    this.#changed();
  }

  #draw(): void {
    const none = el('li', { class: 'none' }, 'It may compute, and use the files below. Nothing else exists for it.');
    fill(this.#rows, ...(this.#cards.length > 0 ? this.#cards.map(({ element }) => element) : [none]));
    fill(
      this.#add,
      el('option', { value: '' }, this.#cards.length > 0 ? 'Grant more…' : 'Grant a capability…'),
      ...DEVICES.map(({ name, about }) => el('option', { value: name }, `${name}: ${about}`)),
    );
    this.#add.value = '';
  }

  #card(draft: GrantDraft): Card {
    const says = el('p', { class: 'says' });
    const problem = el('p', { class: 'problem', role: 'alert', id: freshId('problem'), hidden: true });
    const terms = el('div', { class: 'terms' });
    const remove = (): void => {
      this.#cards.splice(this.#cards.indexOf(card), 1);
      this.#draw();
      this.#add.focus();
      announce(`${draft.device} was taken away`);
      this.#changed();
    };
    const element = el(
      'li',
      { 'data-grant': draft.device },
      el('div', { class: 'head' }, el('code', {}, draft.device), el('button', { type: 'button', 'aria-label': `Take ${draft.device} away`, onclick: remove }, '×')),
      says,
      problem,
      el('details', {}, el('summary'), terms),
    );
    const card: Card = { draft, element, says, problem };
    this.#drawTerms(card, terms);
    this.#say(card);
    return card;
  }

  /** Says what the grant means, and what is wrong with it. */
  #say({ draft, element, says, problem }: Card): void {
    const info = deviceInfo(draft.device);
    const words = info ? sentence(info.may, info.terms, draft.terms) : [];
    fill(says, 'It may ', ...words.map(shown), '.');
    says.title = `${writeGrant(draft)}, at ${placeOf(draft)}`;
    const wrong = this.#check(writeGrant(draft));
    problem.textContent = wrong ?? '';
    problem.hidden = wrong === null;
    element.classList.toggle('wrong', wrong !== null);
    for (const input of element.querySelectorAll<HTMLElement>('[data-term]')) {
      const key = input.dataset['term'] ?? '';
      const meant = wrong !== null && (wrong.includes(`\`${key}\`:`) || wrong.includes(`term \`${key}\``));
      if (meant) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    }
  }

  #drawTerms(card: Card, terms: HTMLElement): void {
    const { draft, problem } = card;
    const changed = (): void => {
      this.#say(card);
      this.#changed();
    };
    const redrawn = (focus?: Term): void => {
      this.#drawTerms(card, terms);
      changed();
      const field = focus ? terms.querySelectorAll<HTMLElement>('[data-term]')[draft.terms.indexOf(focus)] : terms.querySelector('select.more');
      (field as HTMLElement | null | undefined)?.focus();
    };
    const info = deviceInfo(draft.device);
    const row = (term: Term): HTMLElement => {
      const known = info?.terms.find(({ key }) => key === term.key);
      const attributes = { id: freshId('term'), 'data-term': term.key, 'aria-describedby': problem.id };
      const control = known?.choices
        ? el('select', { ...attributes, onchange: () => { term.value = control.value; changed(); } }, ...choices(known.choices, term.value))
        : el('input', { ...attributes, value: term.value, placeholder: known?.example, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', oninput: () => { term.value = control.value; changed(); } });
      return el(
        'div',
        { class: 'term' },
        el('label', { for: control.id }, el('code', {}, term.key), el('small', {}, known?.label ?? '')),
        el('span', { class: 'value' }, control, el('button', { type: 'button', 'aria-label': `Remove ${term.key}`, onclick: () => { draft.terms.splice(draft.terms.indexOf(term), 1); redrawn(); } }, '×')),
      );
    };
    const offered = (info?.terms ?? []).filter(({ key, repeats, nativeAlone }) => !nativeAlone && (repeats || !draft.terms.some((term) => term.key === key)));
    const more = el(
      'select',
      {
        class: 'more',
        'aria-label': `Another term of ${draft.device}`,
        onchange: () => {
          const chosen = offered.find(({ key }) => key === more.value);
          const term = chosen && { key: chosen.key, value: chosen.example };
          if (term) draft.terms.push(term);
          redrawn(term);
        },
      },
      el('option', { value: '' }, 'Another term…'),
      ...offered.map(({ key, label }) => el('option', { value: key }, `${key}: ${label}`)),
    );
    fill(terms, ...draft.terms.map(row), offered.length > 0 ? more : null);
    const summary = terms.parentElement?.querySelector('summary');
    if (summary) fill(summary, 'Terms', el('span', { class: 'hidden' }, ` of ${draft.device}`), draft.terms.length > 0 ? ` (${draft.terms.length})` : null);
  }
}

/** The values of a choice; one that isn't among them stays, for the kernel to refuse. */
function choices(known: readonly string[], value: string): HTMLElement[] {
  const all = known.includes(value) ? known : [value, ...known];
  return all.map((one) => el('option', { value: one, selected: one === value }, one));
}

function shown(words: Words): Child {
  return typeof words === 'string' ? words : el('code', {}, words.value);
}
