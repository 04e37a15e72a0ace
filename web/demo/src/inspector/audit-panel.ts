/** The capabilities of the shown agent: what it did with each, a button that takes it away, and the last operations. */
import type { AuditEvent } from 'capfs';
import type { AgentView } from '../agent/agent-view.js';
import { placeOf, splitGrant } from '../capabilities/devices.js';
import { announce, el, fill } from '../element.js';
import { bytes, count, duration } from '../format.js';

/** Operations that are shown. */
const SHOWN = 100;

/** What the columns are, for those who can't see them. */
const HEADS = ['Operation', 'Outcome', 'Time', 'File or address', 'Amount', 'Took'];

export class AuditPanel {
  readonly element: HTMLElement;
  readonly #capabilities = el('ul', { class: 'capabilities' });
  readonly #events = el('tbody');
  #view: AgentView | null = null;
  /** What is on the page already: drawing anew would take the focus from a button. */
  #drawn = '';
  #version = -1;

  constructor() {
    // Two lines a row, for a narrow column; the roles say what the grid hides.
    const heads = HEADS.map((head) => el('th', { role: 'columnheader', scope: 'col' }, head));
    const table = el('table', { role: 'table' }, el('thead', { class: 'hidden' }, el('tr', { role: 'row' }, ...heads)), this.#events);
    this.element = el('div', { class: 'audit' }, this.#capabilities, el('div', { class: 'events', tabindex: 0, role: 'region', 'aria-label': 'Operations on capabilities, the newest first' }, table));
  }

  /** Shows what is new; called often. */
  show(view: AgentView | null): void {
    if (view !== this.#view) {
      this.#view = view;
      this.#version = -1;
      this.#drawn = '';
    }
    if (!view) return fill(this.#capabilities);
    this.#drawCapabilities(view);
    if (view.audit.version === this.#version) return;
    this.#version = view.audit.version;
    fill(this.#events, ...view.audit.latest(SHOWN).map(row));
  }

  #drawCapabilities(view: AgentView): void {
    const state = view.launch.grants.map((grant) => {
      const at = placeOf(grant);
      return { device: splitGrant(grant)[0], grant, revoked: view.revoked.has(at), ...view.audit.totals(at) };
    });
    const key = JSON.stringify([state, view.state]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const focused = document.activeElement?.getAttribute('data-revoke');
    const entries = state.map(({ device, grant, at, revoked, operations, bytes: moved, refused }) =>
      el(
        'li',
        { 'data-at': at, class: revoked ? 'revoked' : undefined },
        el('code', { title: grant }, at),
        el(
          'button',
          { type: 'button', class: 'danger', 'data-revoke': at, disabled: revoked || view.state !== 'running', 'aria-label': `Revoke ${device}`, onclick: () => void this.#revoke(view, at) },
          revoked ? 'Revoked' : 'Revoke',
        ),
        el('small', {}, `${count(operations)} operations, ${bytes(moved)}${refused > 0 ? `, ${count(refused)} refused` : ''}`),
      ),
    );
    fill(this.#capabilities, ...(entries.length > 0 ? entries : [el('li', { class: 'none' }, 'It was granted nothing.')]));
    if (focused) this.#capabilities.querySelector<HTMLElement>(`[data-revoke="${CSS.escape(focused)}"]`)?.focus();
  }

  async #revoke(view: AgentView, at: string): Promise<void> {
    if (await view.revoke(at)) announce(`${at} was revoked`);
    this.show(this.#view);
  }
}

function row(event: AuditEvent): HTMLElement {
  const time = new Date(event.time);
  const what = event.subject ?? event.path;
  const cell = (name: string, ...content: string[]): HTMLElement => el('td', { role: 'cell', class: name }, ...content);
  const place = el('td', { role: 'cell', class: 'what', title: `${event.at}/${event.path}${event.subject ? `: ${event.subject}` : ''}` }, what === '' ? event.at : what);
  return el(
    'tr',
    { role: 'row', class: event.outcome === 'ok' ? undefined : 'failed' },
    cell('operation', `${event.device} ${event.operation}`),
    cell('outcome', event.outcome),
    cell('figure', `${time.toLocaleTimeString('en-GB')}.${String(time.getMilliseconds()).padStart(3, '0')}`),
    place,
    cell('figure', event.operation === 'list' ? `${count(event.amount)} entries` : bytes(event.amount)),
    cell('figure', duration(event.micros / 1000)),
  );
}
