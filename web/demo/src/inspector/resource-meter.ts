/** What an agent uses, with the course of its memory. */
import type { Usage } from 'capfs';
import { el, fill, svg } from '../element.js';
import { bytes, count, duration } from '../format.js';
import { words } from './start-phases.js';

/** Samples that the chart keeps. */
const SAMPLES = 60;
/** Fields of the usage that count bytes; other fields are counts, or times where their name says so. */
const BYTES = /memory|storage|bytes|read|written|held/i;
const TIMES = /time|Ms$/;

/** Names that say more than the field's own. */
const NAMES: Readonly<Record<string, string>> = { calls: 'system calls', filesPeak: 'files open, at most', heldPeak: 'held for it, at most' };

export class ResourceMeter {
  readonly element = el('div', { class: 'meter' });
  readonly #figures = el('dl');
  readonly #line = svg('polyline', { fill: 'none', 'vector-effect': 'non-scaling-stroke' });
  #memory: number[] = [];

  constructor() {
    const chart = svg('svg', { viewBox: `0 0 ${SAMPLES - 1} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'course' }, this.#line);
    this.element.append(this.#figures, chart);
  }

  /** Forgets the course: another agent follows. */
  reset(): void {
    this.#memory = [];
    this.#line.setAttribute('points', '');
    fill(this.#figures, el('dt', {}, 'No agent'), el('dd'));
  }

  /** Adds a sample. */
  show(usage: Usage): void {
    const entries = Object.entries(usage).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
    fill(this.#figures, ...entries.flatMap(([name, value]) => [el('dt', {}, NAMES[name] ?? words(name)), el('dd', { 'data-usage': name }, quantity(name, value))]));
    const memory = entries.find(([name]) => name === 'memory')?.[1];
    if (memory === undefined) return;
    this.#memory = [...this.#memory, memory].slice(-SAMPLES);
    const most = Math.max(1, ...this.#memory);
    this.#line.setAttribute('points', this.#memory.map((value, i) => `${i},${19 - (value / most) * 17}`).join(' '));
  }
}

function quantity(name: string, value: number): string {
  if (TIMES.test(name)) return duration(value);
  return BYTES.test(name) ? bytes(value) : count(value);
}
