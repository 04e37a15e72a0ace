/** What one agent did with its capabilities: the last operations, and sums that lose nothing. */
import type { AuditEvent } from 'capfs';

/** Operations that are kept. */
const KEPT = 500;

/** The sums of one capability. */
export interface Totals {
  operations: number;
  bytes: number;
  /** Operations that ended in an errno. */
  refused: number;
}

export class AuditLog {
  /** All operations so far, those included that are not kept any more. */
  count = 0;
  /** Those that ended in an errno. */
  refused = 0;
  /** Hears of every operation. */
  onAdded: () => void = () => undefined;
  readonly #events: AuditEvent[] = [];
  readonly #totals = new Map<string, Totals>();

  add(event: AuditEvent): void {
    const refused = event.outcome === 'ok' ? 0 : 1;
    this.count++;
    this.refused += refused;
    this.#events.push(event);
    if (this.#events.length > 2 * KEPT) this.#events.splice(0, KEPT);
    const totals = this.totals(event.at);
    totals.operations++;
    totals.refused += refused;
    if (event.operation === 'read' || event.operation === 'write') totals.bytes += event.amount;
    this.onAdded();
  }

  /** The operations behind the first `seen`, as far as they are kept, the oldest first. */
  since(seen: number): AuditEvent[] {
    const behind = Math.min(this.count - seen, this.#events.length, KEPT);
    return behind > 0 ? this.#events.slice(-behind) : [];
  }

  /** The sums of the capability at this place. */
  totals(at: string): Totals {
    let totals = this.#totals.get(at);
    if (!totals) {
      totals = { operations: 0, bytes: 0, refused: 0 };
      this.#totals.set(at, totals);
    }
    return totals;
  }
}
