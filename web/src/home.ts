/** The page's own tree: a kernel on the page's thread, parts of which agents mount. */
import type { DomPart } from './dom.js';
import type { TaskHost } from './task.js';
import { cancellable } from './cancel.js';
import { kernelError } from './errors.js';
import { loadBindings, type KernelBindings } from './kernels.js';
import type { FileRequest, KernelModules, RemoteTree } from './protocol.js';
import type { ReadOptions } from './types.js';

/** Bytes that the page's tree may hold: 1 GiB. */
const STORAGE = 2 ** 30;

/** Tasks of the page itself: as many as its tabs may have of anything else. */
const PAGE_TASKS = ['children', '1024'];

export class HomeTree {
  #nextRequest = 1;

  private constructor(private readonly kernel: KernelBindings) {}

  static async create(loading: Promise<KernelModules>, full: boolean): Promise<HomeTree> {
    const [bindings, { kernel: module }] = await Promise.all([loadBindings(full), loading]);
    const kernel = bindings();
    // The page's thread may not instantiate a module of this size at once.
    await kernel({ module_or_path: module });
    kernel.on_wake(() => queueMicrotask(() => kernel.advance()));
    kernel.mount(kernel.memory_device(STORAGE), '/', false, true, false);
    const home = new HomeTree(kernel);
    if (full) await home.request('make-dir', 'task');
    return home;
  }

  request(what: FileRequest, path: string, bytes?: Uint8Array, { maxBytes, signal }: ReadOptions = {}): Promise<unknown> {
    const number = this.#nextRequest++;
    const answered = new Promise((resolve, reject) => {
      const answer = (error: string | null, value: unknown) => {
        if (error === null) resolve(value);
        else reject(kernelError(error, `${what} ${path}`));
      };
      try {
        this.kernel.request(number, what, path, bytes, maxBytes, answer);
      } catch (error) {
        reject(kernelError(error, `${what} ${path}`));
      }
    });
    return cancellable(answered, signal, `${what} ${path}`, () => this.kernel.cancel(number));
  }

  /**
   * Where a grant would appear.
   *
   * @throws string a sentence that says what is wrong with the grant
   */
  checkGrant(device: string, terms: string[]): string {
    return this.kernel.check_grant(device, terms);
  }

  /** Takes an agent's request to the tree; `reply` is called with the answer, now or later. */
  serve(agent: number, request: Uint8Array, reply: (bytes: Uint8Array) => void): void {
    this.kernel.remote_serve(agent, request, reply);
  }

  /**
   * Makes a capability over a part of the page for an agent.
   *
   * @throws string a sentence that says what is wrong with the grant
   */
  grantDom(agent: number, terms: string[], part: DomPart): RemoteTree {
    return this.kernel.remote_grant_dom(agent, terms, part);
  }

  /** Makes `/task` for the page itself. */
  serveTasks(host: TaskHost): void {
    // The directory that it hides is there, so that the root stays what agents share.
    this.kernel.mount(this.kernel.task_device(PAGE_TASKS, host), '/task', false, true, false);
  }

  /**
   * Makes `task` for an agent.
   *
   * @throws string a sentence that says what is wrong with the grant
   */
  grantTasks(agent: number, terms: string[], host: TaskHost): RemoteTree {
    return this.kernel.remote_grant_task(agent, terms, host);
  }

  /** Closes what an agent has open. */
  forget(agent: number): void {
    this.kernel.remote_forget(agent);
  }
}
