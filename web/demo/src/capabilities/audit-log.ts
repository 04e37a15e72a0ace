/** What one agent did with its capabilities: the last operations, and sums that lose nothing. */
import type { AuditEvent } from 'capfs';

/** Operations that are kept. */
const KEPT = 300;

/** The sums of one capability. */
export interface Totals {
  readonly at: string;
  operations: number;
  bytes: number;
  /** Operations that ended in an errno. */
  refused: number;
}

export class AuditLog {
  /** Counts what was added, so that a view knows whether it is behind. */
  version = 0;
  readonly #events: AuditEvent[] = [];
  readonly #totals = new Map<string, Totals>();

  add(event: AuditEvent): void {
    this.version++;
    this.#events.push(event);
    if (this.#events.length > 2 * KEPT) this.#events.splice(0, KEPT);
    const totals = this.totals(event.at);
    totals.operations++;
    if (event.operation === 'read' || event.operation === 'write') totals.bytes += event.amount;
    if (event.outcome !== 'ok') totals.refused++;
  }

  /** The last operations, the newest first. */
  latest(count: number): AuditEvent[] {
    return this.#events.slice(-Math.min(count, KEPT)).reverse();
  }

  /** The sums of the capability at this place. */
  totals(at: string): Totals {
    let totals = this.#totals.get(at);
    if (!totals) {
      totals = { at, operations: 0, bytes: 0, refused: 0 };
      this.#totals.set(at, totals);
    }
    return totals;
  }
}
