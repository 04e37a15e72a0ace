/** Ended agents whose files are kept: only the last few, so that a page that never disposes of agents doesn't run out of memory. */

/** How many agents. Each keeps a kernel, and engines have room for some 100 memories in all. */
export const KEPT_MAX = 16;
/** Bytes that they may take together, in MiB; the last one keeps its files whatever they take. */
export const KEPT_MIB = 256;

/** An ended agent. */
export interface Keeper {
  /** Releases its files. */
  letGo(): void;
}

export class Kept<Agent extends Keeper> {
  readonly #bytes = new Map<Agent, number>();
  #total = 0;

  /** Keeps the files of one more agent, of this size; releases those of older ones where it gets too much. */
  add(agent: Agent, bytes: number): void {
    this.#bytes.set(agent, bytes);
    this.#total += bytes;
    while (this.#bytes.size > 1 && (this.#bytes.size > KEPT_MAX || this.#total > KEPT_MIB * 2 ** 20)) this.#oldest()!.letGo();
  }

  /** The agent's files have been released. */
  remove(agent: Agent): void {
    this.#total -= this.#bytes.get(agent) ?? 0;
    this.#bytes.delete(agent);
  }

  /** Releases the files of the oldest agent that `of` accepts. Returns whether there was one. */
  evict(of: (agent: Agent) => boolean): boolean {
    for (const agent of this.#bytes.keys()) {
      if (!of(agent)) continue;
      agent.letGo();
      return true;
    }
    return false;
  }

  #oldest(): Agent | undefined {
    return this.#bytes.keys().next().value;
  }
}
