/** The operations of one agent on its capabilities, below its terminal, as they happen. */
import type { AuditEvent } from 'capfs';
import { el, fill } from '../element.js';
import { bytes, count } from '../format.js';
import type { AuditLog } from './audit-log.js';

/** Operations that are shown. */
const SHOWN = 200;
/** Time between two drawings, in ms: an agent may do thousands of operations a second. */
const INTERVAL = 150;

const HEADS = ['Time', 'Agent', 'Operation', 'File or address', 'Amount', 'Outcome', 'ms'];

export class OperationLog {
  readonly element: HTMLElement;
  readonly #audit: AuditLog;
  readonly #rows = el('tbody');
  readonly #sum = el('span', { class: 'sum' });
  readonly #only = el('input', { type: 'checkbox', onchange: () => this.#refill() });
  #seen = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(audit: AuditLog) {
    this.#audit = audit;
    audit.onAdded = () => {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#draw();
      }, INTERVAL);
    };
    // The roles say what a grid hides, which it is on narrow screens.
    const heads = HEADS.map((head) => el('th', { role: 'columnheader', scope: 'col' }, head));
    const table = el('table', { role: 'table' }, el('thead', {}, el('tr', { role: 'row' }, ...heads)), this.#rows);
    this.element = el(
      'details',
      { class: 'operations', open: matchMedia('(min-width: 760px)').matches },
      el('summary', { class: 'tag' }, 'Operations', this.#sum),
      el('label', { class: 'only' }, this.#only, 'refused ones only'),
      el('div', { class: 'events', tabindex: 0, role: 'region', 'aria-label': 'Operations on capabilities, the newest first' }, table),
    );
    this.#draw();
  }

  #draw(): void {
    const news = this.#audit.since(this.#seen).filter((event) => this.#wanted(event));
    this.#seen = this.#audit.count;
    this.#rows.prepend(...news.slice(-SHOWN).reverse().map(row));
    while (this.#rows.children.length > SHOWN) this.#rows.lastElementChild?.remove();
    const { count: all, refused } = this.#audit;
    fill(this.#sum, all === 0 ? 'none yet' : count(all), refused > 0 ? el('span', { class: 'refused' }, ` ${count(refused)} refused`) : null);
  }

  #refill(): void {
    this.#rows.replaceChildren();
    this.#seen = 0;
    this.#draw();
  }

  #wanted({ outcome }: AuditEvent): boolean {
    return !this.#only.checked || outcome !== 'ok';
  }
}

function row(event: AuditEvent): HTMLElement {
  const { time, agent, device, operation, at, path, subject, amount, outcome, micros } = event;
  const when = new Date(time);
  const file = path === '' ? at : `${at}/${path}`;
  const cell = (name: string, text: string, title?: string): HTMLElement => el('td', { role: 'cell', class: name, title }, text);
  return el(
    'tr',
    { role: 'row', class: outcome === 'ok' ? undefined : 'failed' },
    cell('when', `${when.toLocaleTimeString('en-GB')}.${String(when.getMilliseconds()).padStart(3, '0')}`),
    cell('agent-name', agent),
    cell('operation', `${device} ${operation}`),
    cell('what', subject ?? (path || at), subject === undefined ? file : `${file}: ${subject}`),
    cell('amount', operation === 'list' ? `${count(amount)} names` : operation === 'read' || operation === 'write' ? bytes(amount) : ''),
    cell('outcome', outcome),
    cell('took', micros < 100_000 ? (micros / 1000).toFixed(2) : count(Math.round(micros / 1000))),
  );
}
