/** The phases of an agent's start, as bars on one scale. */
import type { Timings } from 'capfs';
import { el, fill } from '../element.js';
import { duration } from '../format.js';

/** Moments, counted from the call of `spawn`, rather than phases. */
const WHOLE = new Set(['firstByte', 'total']);
/** The moment of the end says nothing of the start, and would make every bar a dot beside it. */
const WITHOUT_BAR = new Set(['total']);

/** Names that say more than the field's own. */
const NAMES: Readonly<Record<string, string>> = { firstByte: 'to first byte', total: 'to the end' };

export class StartPhases {
  readonly element = el('dl', { class: 'phases' });

  /** Shows the timings so far; `null` shows nothing. */
  show(timings: Timings | null): void {
    const entries = Object.entries(timings ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
    const longest = Math.max(0.001, ...entries.filter(([name]) => !WITHOUT_BAR.has(name)).map(([, ms]) => ms));
    fill(
      this.element,
      ...entries.flatMap(([name, ms]) => [
        el('dt', { class: WHOLE.has(name) ? 'whole' : '' }, NAMES[name] ?? words(name)),
        el('dd', {}, WITHOUT_BAR.has(name) ? el('span') : el('span', { class: 'bar', style: `--part: ${ms / longest}`, 'aria-hidden': 'true' }), el('span', { class: 'figure' }, duration(ms))),
      ]),
    );
    if (entries.length === 0) fill(this.element, el('dt', {}, 'Nothing started yet'), el('dd'));
  }
}

/** `firstByte` as `first byte`. */
export function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
