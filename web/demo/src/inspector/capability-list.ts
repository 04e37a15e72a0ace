/** The capabilities of the shown agent: what it did with each in sum, and a button that takes it away. */
import type { AgentView } from '../agent/agent-view.js';
import { placeOf, readGrant, writeGrant } from '../capabilities/grant.js';
import { announce, el, fill } from '../element.js';
import { bytes, count } from '../format.js';

export class CapabilityList {
  readonly element = el('ul', { class: 'capabilities' });
  /** What is on the page already: drawing anew would take the focus from a button. */
  #drawn = '';

  /** Shows what is new; called often. */
  show(view: AgentView | null): void {
    const state = (view?.launch.grants ?? []).map((grant) => {
      const draft = readGrant(grant);
      const at = placeOf(draft);
      return { device: draft.device, terms: writeGrant(draft), at, revoked: view?.revoked.has(at), ...view?.audit.totals(at) };
    });
    const key = JSON.stringify([view?.id, view?.state, state]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    if (!view) return fill(this.element);
    const focused = document.activeElement?.getAttribute('data-revoke');
    const entries = state.map(({ device, terms, at, revoked, operations = 0, bytes: moved = 0, refused = 0 }) =>
      el(
        'li',
        { 'data-at': at, class: revoked ? 'revoked' : undefined },
        el('code', { title: terms }, at),
        el(
          'button',
          { type: 'button', class: 'danger', 'data-revoke': at, disabled: revoked || view.state !== 'running', 'aria-label': `Revoke ${device}`, onclick: () => void this.#revoke(view, at) },
          revoked ? 'Revoked' : 'Revoke',
        ),
        el('small', {}, operations === 0 ? 'not used yet' : `${count(operations)} ${operations === 1 ? 'operation' : 'operations'}, ${bytes(moved)}`, refused > 0 ? el('span', { class: 'refused' }, `, ${count(refused)} refused`) : null),
      ),
    );
    fill(this.element, ...(entries.length > 0 ? entries : [el('li', { class: 'none' }, 'It was granted nothing: there is nothing outside its files for it.')]));
    if (focused) this.element.querySelector<HTMLElement>(`[data-revoke="${CSS.escape(focused)}"]`)?.focus();
  }

  async #revoke(view: AgentView, at: string): Promise<void> {
    if (await view.revoke(at)) announce(`${at} was revoked`);
    this.show(view);
  }
}
