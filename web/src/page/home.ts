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

/** How the kernel fails when an earlier trap has left it in the middle of an operation. */
const BROKEN = 'the kernel has been left by a trap';

/** Tasks of the page itself. */
const PAGE_TASKS = ['children', '1024'];

export class HomeTree {
  #nextRequest = 1;
  /** The failure of the kernel, if it has failed: then it can't be used any more. */
  #lost: string | undefined;
  #announced = false;
  #panic: string | undefined;
  #tellLost: (() => void) | undefined;
  /** Requests of the page that are outstanding. */
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

  /** Sets the function that is called when the tree has failed. */
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
      // The kernel doesn't answer a request that was cancelled.
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
   * Admits an agent, whose requests are served from now on.
   *
   * @throws CapfsError `HOST` where the tree has failed
   */
  admit(agent: number): void {
    this.#call(() => this.kernel.remote_admit(agent, 0));
  }

  /** Serves an agent's request to the tree; `reply` is called with the answer, now or later. Returns false if the tree has failed. */
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
    // Agents that share the root see it without this mount: an empty directory `task`, which `create` has made.
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

  /** Closes the tree: outstanding requests are rejected. */
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

  /** Makes a call whose outcome nobody waits for. Whoever waits for its effects is told if the tree has failed. */
  #guarded(call: () => void): void {
    try {
      this.#call(call);
    } catch {
      // The tree has failed, and everybody concerned has been told.
    }
  }

  /**
   * Calls the kernel. It refuses by throwing a string; anything else is a trap, which has left it in the middle of an operation.
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

  /** Tells everybody concerned that the tree has failed. From the event loop, as the stack may be exhausted here. */
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
