/** The page's capfs: which variant of the system calls it uses, and the change to another. */
import { Capfs, type MemoryVariant, type Variant, type WaitVariant } from 'capfs';

/** A forced variant, or `null` for the best that the engine has. */
export type Choice = Variant | null;

/** What each half of a variant means, for people. */
export const WAITS: Readonly<Record<WaitVariant, string>> = {
  jspi: 'waiting calls suspend the WebAssembly stack (JSPI)',
  sab: 'waiting calls block the worker on shared memory (Atomics.wait)',
  none: 'calls can’t wait',
};
/** See {@link WAITS}. */
export const MEMORIES: Readonly<Record<MemoryVariant, string>> = {
  multi: 'bytes move between two memories in WebAssembly',
  single: 'longer copies go through JavaScript',
};

/** All variants, best first. */
export const VARIANTS: readonly Variant[] = (['jspi', 'sab', 'none'] as const).flatMap((wait) =>
  (['multi', 'single'] as const).map((memory) => ({ wait, memory })),
);

/** A variant in short: `jspi · multi`. */
export function variantName(variant: Variant): string {
  return `${variant.wait} · ${variant.memory}`;
}

/** Holds the capfs that new agents start in; agents that run stay with the one that they were started in. */
export class Engine {
  #capfs: Capfs;
  readonly #former: Capfs[] = [];

  private constructor(capfs: Capfs) {
    this.#capfs = capfs;
  }

  static async start(): Promise<Engine> {
    return new Engine(await Capfs.create({ capabilities: true }));
  }

  get capfs(): Capfs {
    return this.#capfs;
  }

  get variant(): Variant {
    return this.#capfs.variant;
  }

  /**
   * Makes new agents use another variant. The page's shared files come along, as copies.
   *
   * @throws CapfsError `VARIANT_UNAVAILABLE` when the browser lacks it; the one before stays.
   */
  async choose(choice: Choice): Promise<void> {
    const next = await Capfs.create({ capabilities: true, ...(choice ? { variant: choice } : {}) });
    await copyTree(this.#capfs, next, '/');
    this.#former.push(this.#capfs);
    this.#capfs = next;
    this.sweep();
  }

  /** Closes former instances that have no agent left. */
  sweep(): void {
    for (const capfs of [...this.#former]) {
      if ([...capfs.agents].length > 0) continue;
      capfs.close();
      this.#former.splice(this.#former.indexOf(capfs), 1);
    }
  }

  /** The variants that this browser can't do; each is really tried. */
  async unavailable(): Promise<Variant[]> {
    const missing: Variant[] = [];
    for (const variant of VARIANTS) {
      try {
        (await Capfs.create({ variant, spares: 0, capabilities: true })).close();
      } catch {
        missing.push(variant);
      }
    }
    return missing;
  }
}

async function copyTree(from: Capfs, to: Capfs, path: string): Promise<void> {
  for (const entry of await from.readDir(path)) {
    // Child agents are not files: reading `task/new` would make one.
    if (path === '/' && entry.name === 'task') continue;
    const child = path === '/' ? `/${entry.name}` : `${path}/${entry.name}`;
    if (entry.type === 'directory') {
      await to.makeDir(child);
      await copyTree(from, to, child);
    } else if (entry.type === 'file') {
      await to.writeFile(child, await from.readFile(child));
    }
  }
}
