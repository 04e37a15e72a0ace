/** The phases of an agent's start, as bars on one scale. */
import type { Timings } from 'capfs';
import { el, fill } from '../element.js';
import { duration } from '../format.js';

/** Fields of the timings that are sums or moments rather than phases; they get a line of their own. */
const WHOLE = new Set(['total', 'firstByte']);

export class StartPhases {
  readonly element = el('dl', { class: 'phases' });

  /** Shows the timings so far; `null` shows nothing. */
  show(timings: Timings | null): void {
    const entries = Object.entries(timings ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
    const longest = Math.max(0.001, ...entries.map(([, ms]) => ms));
    fill(
      this.element,
      ...entries.flatMap(([name, ms]) => [
        el('dt', { class: WHOLE.has(name) ? 'whole' : '' }, words(name)),
        el('dd', {}, el('span', { class: 'bar', style: `--part: ${ms / longest}`, 'aria-hidden': 'true' }), el('span', { class: 'figure' }, duration(ms))),
      ]),
    );
    if (entries.length === 0) fill(this.element, el('dt', {}, 'Nothing started yet'), el('dd'));
  }
}

/** `firstByte` as `first byte`. */
export function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
