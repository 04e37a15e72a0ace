/** Counts what an agent has on a page, in characters. */
import { CapfsError } from '../../both/errors.js';

/** Characters that an agent may have on a page and in elements off it, at most, each node counted as {@link NODE} and as its {@link weightOf}: 64 Mi. */
export const HELD_MAX = 64 << 20;
/**
 * What a node counts as beside its characters, and a kind of events that an element listens for. So there are 65,536 at most: browsers lay that many out in a
 * second or so.
 */
export const NODE = 1 << 10;
/** Nodes that one write makes, at most: parsed, made anew and laid out, they are in the page's way for a fraction of a second. */
export const NODES_MAX = 20_000;
/**
 * What elements count as beside that which have a tree of their own in the browser, by tag. Measured in Chromium and Firefox, by what takes most: one of the
 * first costs up to 10 ms and 350 KiB when it is drawn, of the last 0.5 ms and 60 KiB. So they are some 2 s and 300 MiB, whatever there is of them.
 */
const WEIGHTS = new Map<string, number>();
for (const [weight, tags] of [
  [512 << 10, 'audio video'],
  [128 << 10, 'details'],
  [16 << 10, 'button input meter progress select textarea'],
  [4 << 10, 'canvas dialog fieldset img optgroup option'],
] as const) {
  for (const tag of tags.split(' ')) WEIGHTS.set(tag, weight);
}
/** The same of an input for a date or a time: each part of it is a field, and they have a calendar. */
const MOMENT = 128 << 10;
const MOMENTS = new Set('date datetime-local month time week'.split(' '));

/** What an element counts as beside {@link NODE} and its characters; `type` is that of an input. */
export function weightOf(tag: string, type?: string): number {
  return tag === 'input' && type !== undefined && MOMENTS.has(type.toLowerCase()) ? MOMENT : (WEIGHTS.get(tag) ?? 0);
}

/** What each shadow and each gradient of an element's style counts as: 4,096 of the greatest are drawn in a second or two. */
export const PAINTED = 16 << 10;

/** What each place of a table counts as that a cell or a column spans beside its own: there are 16,384 at most. */
export const PLACE = 4 << 10;
/** What each track counts as that a style asks for. Measured in Firefox, where a million of them take up to half a second: there are 4 Mi at most. */
export const TRACK = 16;

/** Milliseconds between two counts of what an agent has, at least. */
const COUNT_EVERY = 1_000;
/** A count visits every node. The next one comes after this many times as long as the last one took. */
const COUNT_SHARE = 20;

export class Holding {
  /** An upper bound of what it has: the last count, and what has been added and removed since. */
  #held = 0;
  /** When it may be counted again. */
  #next = -Infinity;

  /** @param count what is there, node by node */
  constructor(private readonly count: () => number) {}

  /**
   * That there is room for so much more. Where it would be too much, what is still there is counted first: the page may have taken some of it out.
   *
   * @throws CapfsError `ENOMEM`
   */
  room(amount: number): void {
    if (this.#held + amount > HELD_MAX && performance.now() >= this.#next) {
      const begun = performance.now();
      this.#held = this.count();
      const ended = performance.now();
      this.#next = ended + Math.max(COUNT_EVERY, COUNT_SHARE * (ended - begun));
    }
    if (this.#held + amount <= HELD_MAX) return;
    const counts = `each node counted as ${NODE}, and what a browser builds more for as more`;
    throw new CapfsError('ENOMEM', `an agent may have ${HELD_MAX} characters on a page, ${counts}`);
  }

  /** This much was added; a negative number was removed. */
  changed(amount: number): void {
    this.#held = Math.max(0, this.#held + amount);
  }
}
