/** Starts and ends the tasks of one parent: the page, or an agent. */
import { unlessAborted } from '../both/abort.js';
import { ENDINGS } from '../both/endings.js';
import { CapfsError, isErrno, type CapfsErrorCode, type Errno } from '../both/errors.js';
import { turn } from '../both/turn.js';
import type { Mount, Program, SpawnOptions, Stat } from '../both/types.js';
import type { TaskBind, TaskPlan, Variable } from '../kernel-bindings.js';
import type { Agent } from './agent.js';
import { grantPairs } from './start/grants.js';
import { readPath, readSpawnOptions } from './start/options.js';

/** The kernel's half of a child: the other ends of its standard streams. */
interface TaskChild {
  read_input(): Promise<Uint8Array | undefined>;
  write_output(stream: number, bytes: Uint8Array): Promise<boolean>;
  ended(code: number, reason: string): void;
}

/** How a task is started: as any agent, and with a directory that it knows as `.`. */
export interface ChildOptions extends SpawnOptions {
  dir?: string;
}

/** Options that a task always has from its parent. */
export type Inherited = Pick<SpawnOptions, 'clock' | 'random' | 'limits'>;

/** How many tasks may run and do, tasks of tasks included. */
export interface Running {
  readonly max: number;
  count: number;
}

/** What a `TaskHost` needs of its `Capfs`. */
export interface TaskOwner {
  readProgram(path: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  stat(path: string): Promise<Stat>;
  spawnChild(program: Program, options: ChildOptions, parent: Agent | undefined): Promise<Agent>;
  /** Checks that an agent's task could be granted this. */
  checkNarrowed(parent: Agent, flag: string): Promise<void>;
}

/** A task that was started. */
interface Child {
  readonly agent: Agent;
  /** Ends the wait for its output to be read. */
  giveUp: () => void;
}

export class TaskHost {
  readonly #children = new Map<number, Child>();
  /** Tasks that are to end before they have begun. */
  readonly #starting = new Map<number, AbortController>();
  #ended = false;

  constructor(
    private readonly owner: TaskOwner,
    /** The agent whose tasks these are; undefined where they are the page's. */
    private readonly parent: Agent | undefined,
    private readonly inherited: Inherited = {},
    /** Shared by an agent and all its descendants. */
    readonly running: Running = { max: Infinity, count: 0 },
  ) {}

  /** Checks a grant. The page may grant anything, an agent only what it has itself. */
  async check(flag: string): Promise<void> {
    if (this.parent) await this.owner.checkNarrowed(this.parent, flag);
    else grantPairs(flag);
  }

  async start(number: number, plan: TaskPlan, child: TaskChild): Promise<void> {
    if (this.#ended) throw new CapfsError('EIO', 'the parent has ended');
    const { program, args, env, dir, binds, grants } = plan;
    if (this.running.count >= this.running.max) throw new CapfsError('EMFILE', `${this.running.max} tasks run, and more are not granted`);
    this.running.count += 1;
    const abort = new AbortController();
    this.#starting.set(number, abort);
    try {
      const given = readPlan(args, env, dir);
      const module = await this.#program(program, abort.signal);
      await unlessAborted(this.#check(binds), abort.signal, 'the start of the task');
      const options: ChildOptions = {
        ...this.inherited,
        name: program.split('/').at(-1) || program,
        ...given,
        mounts: mounts(binds),
        grants,
        stdin: 'pipe',
        signal: abort.signal,
      };
      const agent = await this.owner.spawnChild(module, options, this.parent);
      void this.#follow(number, agent, child);
    } catch (error) {
      this.running.count -= 1;
      throw errnoOf(error);
    } finally {
      this.#starting.delete(number);
    }
  }

  kill(number: number): void {
    this.#starting.get(number)?.abort(new CapfsError('ECANCELED', 'the task was ended before it began'));
    const child = this.#children.get(number);
    if (!child) return;
    void child.agent.kill();
    child.giveUp();
  }

  async revoke(number: number, at: string): Promise<void> {
    const found = await this.#children.get(number)?.agent.revoke(at);
    if (!found) throw new CapfsError('EINVAL', `the task has no capability at ${at}`);
  }

  /** The parent has ended, and its tasks with it. */
  end(): void {
    this.#ended = true;
    for (const number of [...this.#starting.keys(), ...this.#children.keys()]) this.kill(number);
  }

  /** The program: a path in the parent's namespace; from the page it may also be an address. */
  async #program(program: string, signal: AbortSignal): Promise<Program> {
    if (!this.parent && program.includes('://')) return program;
    // The path may be of a device, such as the body of a request.
    return (this.parent ?? this.owner).readProgram(program, signal);
  }

  /** Checks that what is bound is there in the parent's namespace, and is a directory. */
  async #check(binds: TaskBind[]): Promise<void> {
    for (const { from, to } of binds) {
      const { type } = await (this.parent ?? this.owner).stat(from);
      if (type !== 'directory') throw new CapfsError('ENOTDIR', `can't bind ${from} at ${to}: it is not a directory`);
    }
  }

  /** Moves a child's input and output, until it has ended and its output was read, or it was killed. */
  async #follow(number: number, agent: Agent, child: TaskChild): Promise<void> {
    const givenUp = new Promise<true>((resolve) => this.#children.set(number, { agent, giveUp: () => resolve(true) }));
    void (async () => {
      for (let bytes = await child.read_input(); bytes; bytes = await child.read_input()) await agent.write(bytes);
      await agent.closeStdin();
    })().catch(() => undefined);
    let moved = 0;
    let over = false;
    const pump = async (stream: number, readable: ReadableStream<Uint8Array>): Promise<void> => {
      for await (const bytes of readable) {
        if (!(await child.write_output(stream, bytes))) return;
        moved += 1;
      }
    };
    const printed = Promise.all([pump(1, agent.stdout), pump(2, agent.stderr)]).then(
      () => void (over = true),
      () => void (over = true),
    );
    let { code, reason } = await agent.exit;
    this.running.count -= 1;
    const byItself = reason === 'exit' || reason === 'signal' || reason === 'trap';
    // Killed while its output was not read yet. Natively it would still be printing, so it ends as it would there.
    if (byItself && (await Promise.race([printed, givenUp])) === true) [code, reason] = [ENDINGS.killed, 'killed'];
    // A task that was ended doesn't wait for a reader: output that has no room is lost, as natively.
    if (reason !== 'exit' && reason !== 'signal' && reason !== 'trap') for (let before = -1; !over && before !== moved; await turn()) before = moved;
    child.ended(code, reason);
    this.#children.delete(number);
    await agent.dispose();
  }
}

/**
 * A task's arguments, environment and directory, which are text, as options of `spawn`.
 *
 * @throws CapfsError `OPTION_INVALID`, for what can't be handed to a program
 */
function readPlan(args: string[], env: Variable[], dir: string | undefined): Pick<ChildOptions, 'args' | 'env' | 'dir'> {
  const read = readSpawnOptions({ args, env: Object.fromEntries(env.map(({ name, value }) => [name, value])) });
  return { ...read, ...(dir === undefined ? {} : { dir: readPath(dir) }) };
}

/** A task's mounts. Several at one path are a union, in the order of bind(1). */
function mounts(binds: TaskBind[]): Record<string, Mount[]> {
  const all: Record<string, Mount[]> = {};
  for (const { from: path, to, writable, order } of binds) {
    const mount: Mount = { type: 'shared', path, rights: writable ? 'rw' : 'ro' };
    const there = order === 'replace' ? [] : (all[to] ?? []);
    all[to] = order === 'before' ? [mount, ...there] : [...there, mount];
  }
  return all;
}

/** The errnos that a parent gets for errors of the package; `EIO` for others. */
const ERRNO_OF: Partial<Record<CapfsErrorCode, Errno>> = {
  GRANT_INVALID: 'EINVAL',
  OPTION_INVALID: 'EINVAL',
  MEMORY_LIMIT: 'ENOMEM',
  ABORTED: 'ECANCELED',
};

/** An error of the package as a parent sees it. */
function errnoOf(error: unknown): CapfsError {
  const failure = error instanceof CapfsError ? error : new CapfsError('EIO', String(error));
  return isErrno(failure.code) ? failure : new CapfsError(failure.code.startsWith('MODULE_') ? 'ENOEXEC' : (ERRNO_OF[failure.code] ?? 'EIO'), failure.message);
}
