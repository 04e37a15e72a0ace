/** The page's own tree: a kernel on the page's thread, parts of which agents mount. */
import { CapfsError, kernelError, messageOf } from '../both/errors.js';
import { loadBindings, type KernelBindings } from '../both/kernels.js';
import type { FileRequest, KernelModules, RemoteTree } from '../both/protocol.js';
import type { ReadOptions } from '../both/types.js';
import { cancellable } from './cancel.js';
import type { DomPart } from './dom/part.js';
import type { TaskHost } from './task.js';

/** Bytes that the page's tree may hold: 1 GiB. */
const STORAGE = 2 ** 30;

/** What a kernel says that was left in the midst of something. */
const BROKEN = 'the kernel has been left by a trap';

/** Tasks of the page itself: as many as its tabs may have of anything else. */
const PAGE_TASKS = ['children', '1024'];

export class HomeTree {
  #nextRequest = 1;
  /** What it failed with, if it did: then nothing of it can be used any more. */
  #lost: string | undefined;
  #announced = false;
  #panic: string | undefined;
  #tellLost: (() => void) | undefined;
  /** Requests of the page that were not answered yet. */
  readonly #waiting = new Set<(error: CapfsError) => void>();

  private constructor(private readonly kernel: KernelBindings) {
    kernel.report_panics((message: string) => {
      this.#panic ??= message;
    });
    kernel.on_wake(() =>
      queueMicrotask(() => {
        if (this.#lost === undefined) this.#guarded(() => this.kernel.advance());
      }),
    );
  }

  static async create(loading: Promise<KernelModules>, full: boolean): Promise<HomeTree> {
    const [bindings, { kernel: module }] = await Promise.all([loadBindings(full), loading]);
    const kernel = bindings();
    // The page's thread may not instantiate a module of this size at once.
    await kernel({ module_or_path: module });
    const home = new HomeTree(kernel);
    kernel.mount(kernel.memory_device(STORAGE), '/', true, false);
    kernel.mount_all();
    if (full) await home.request('make-dir', 'task');
    return home;
  }

  /** Says who is to hear that the tree has failed. */
  onLost(tell: () => void): void {
    this.#tellLost = tell;
  }

  request(what: FileRequest, path: string, bytes?: Uint8Array, { maxBytes, signal }: ReadOptions = {}): Promise<unknown> {
    const number = this.#nextRequest++;
    let waits: ((error: CapfsError) => void) | undefined;
    const answered = new Promise((resolve, reject) => {
      waits = reject;
      if (this.#lost !== undefined) return reject(new CapfsError('HOST', this.#lost));
      this.#waiting.add(reject);
      const answer = (error: string | null, value: unknown) => {
        this.#waiting.delete(reject);
        if (error === null) resolve(value);
        else reject(kernelError(error, `${what} ${path}`));
      };
      try {
        this.#call(() => this.kernel.request(number, what, path, bytes, maxBytes, answer));
      } catch (error) {
        this.#waiting.delete(reject);
        reject(error instanceof CapfsError ? error : kernelError(error, `${what} ${path}`));
      }
    });
    return cancellable(answered, signal, `${what} ${path}`, () => {
      // The kernel answers what it gives up with nothing.
      this.#waiting.delete(waits!);
      this.#guarded(() => this.kernel.cancel(number));
    });
  }

  /**
   * Where a grant would appear.
   *
   * @throws CapfsError `GRANT_INVALID`, with what is wrong with it
   */
  checkGrant(device: string, terms: string[]): string {
    return this.#grant(device, () => this.kernel.check_grant(device, terms));
  }

  /**
   * Takes an agent in, whose requests are taken from now on.
   *
   * @throws CapfsError `HOST` where the tree has failed
   */
  admit(agent: number): void {
    this.#call(() => this.kernel.remote_admit(agent, 0));
  }

  /** Takes an agent's request to the tree; `reply` is called with the answer, now or later. Whether there is a tree still. */
  serve(agent: number, request: Uint8Array, reply: (bytes: Uint8Array) => void): boolean {
    if (this.#lost === undefined) this.#guarded(() => this.kernel.remote_serve(agent, request, reply));
    return this.#lost === undefined;
  }

  /**
   * Makes a capability over a part of the page for an agent.
   *
   * @throws CapfsError `GRANT_INVALID`
   */
  grantDom(agent: number, terms: string[], part: DomPart): RemoteTree {
    return this.#grant('dom', () => this.kernel.remote_grant_dom(agent, terms, part));
  }

  /** Makes `/task` for the page itself. */
  serveTasks(host: TaskHost): void {
    // The directory that it hides is there, so that the root stays what agents share.
    this.kernel.mount(this.kernel.task_device(PAGE_TASKS, host), '/task', true, false);
    this.kernel.mount_all();
  }

  /**
   * Makes `task` for an agent.
   *
   * @throws CapfsError `GRANT_INVALID`
   */
  grantTasks(agent: number, terms: string[], host: TaskHost): RemoteTree {
    return this.#grant('task', () => this.kernel.remote_grant_task(agent, terms, host));
  }

  /** Nothing of it is to be used any more: who waits for an answer of its gets none. */
  close(why: string): void {
    for (const reject of this.#waiting) reject(new CapfsError('CLOSED', why));
    this.#waiting.clear();
  }

  /** Closes what an agent has open. */
  forget(agent: number): void {
    if (this.#lost === undefined) this.#guarded(() => this.kernel.remote_forget(agent));
  }

  #grant<Value>(device: string, call: () => Value): Value {
    try {
      return this.#call(call);
    } catch (error) {
      throw error instanceof CapfsError ? error : new CapfsError('GRANT_INVALID', `${device}: ${messageOf(error)}`);
    }
  }

  /** A call that nobody waits for: who waits for what comes of it hears that the tree has failed. */
  #guarded(call: () => void): void {
    try {
      this.#call(call);
    } catch {
      // It has failed, and everybody was told.
    }
  }

  /**
   * Calls the kernel. What it refuses it says in a string; anything else has left it in the midst of something.
   *
   * @throws CapfsError `HOST` where it has failed, now or before
   */
  #call<Value>(call: () => Value): Value {
    if (this.#lost !== undefined) {
      this.#announce();
      throw new CapfsError('HOST', this.#lost);
    }
    try {
      return call();
    } catch (error) {
      if (typeof error === 'string' && error !== BROKEN) throw error;
      this.#lost = `the page's own tree has failed: ${this.#panic ?? messageOf(error)}`;
      this.#announce();
      throw new CapfsError('HOST', this.#lost, { cause: error });
    }
  }

  /** Tells everybody that it has failed: from the event loop, as there may be no stack left here. */
  #announce(): void {
    if (this.#announced) return;
    queueMicrotask(() => {
      for (const reject of this.#waiting) reject(new CapfsError('HOST', this.#lost!));
      this.#waiting.clear();
      this.#tellLost?.();
    });
    this.#announced = true;
  }
}
