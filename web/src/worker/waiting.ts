/** How an agent's worker waits while a call would block: one class for each variant. */
import { TIMER_MAX } from '../both/abort.js';
import type { MailboxReader } from '../both/mailbox.js';

/** What the adapter's `slow` is asked for. */
export const enum Reason {
  /** Something to happen, or the deadline. */
  Wait = 0,
  /** One turn of the worker's event loop, and, where too many calls of the page's functions are outstanding, some of those. */
  Yield = 1,
}

/** What a wait needs of the agent's run. */
export interface Waitable {
  /** The pending call's deadline in milliseconds of `performance.now()`; infinite if it has none. */
  deadline(): number;
  /** Called before a wait: sends gathered output and reports to the page. */
  beforeWait(): void;
  /** Whether too many calls of the page's functions are outstanding: then the agent waits until some of them have been made. */
  readonly behind: boolean;
  /** Whether the process has ended. */
  readonly ended: boolean;
}

export interface Waiting {
  /** The adapter's `slow` import. */
  slow(run: Waitable): WebAssembly.ImportValue;
  /** Waits for something to happen, or the deadline, when no agent's code is on the stack. */
  pause(run: Waitable): Promise<void> | void;
  /** Runs an agent's `_start`. */
  enter(start: Function): unknown;
  /** Something has arrived. */
  wake(): void;
}

/** Milliseconds below which a sleep is made of turns of the event loop, as timers are coarser (4 ms when nested). */
const TIMER_MIN = 4;

/** Suspends the agent's stack; the worker's event loop runs meanwhile. */
export class SuspendingWait implements Waiting {
  readonly #turns = new MessageChannel();
  #resume: (() => void) | undefined;
  #turned: (() => void) | undefined;
  #woken = false;

  constructor() {
    this.#turns.port1.onmessage = () => this.#turned?.();
  }

  slow(run: Waitable): WebAssembly.ImportValue {
    // Never rejects: an exception could be caught by the agent.
    return new WebAssembly.Suspending!(async (reason: Reason) => {
      if (reason === Reason.Wait) await this.pause(run);
      else await this.#turn();
      while (run.behind && !run.ended) await this.#until(Infinity);
      return run.ended ? 1 : 0;
    }) as unknown as WebAssembly.ImportValue;
  }

  async pause(run: Waitable): Promise<void> {
    run.beforeWait();
    const deadline = run.deadline();
    // The call can go on at once: a long call only lets the event loop run.
    if (!this.#woken && deadline <= performance.now()) await this.#turn();
    else await this.#until(deadline);
  }

  enter(start: Function): unknown {
    return WebAssembly.promising!(start)();
  }

  wake(): void {
    this.#woken = true;
    this.#resume?.();
  }

  #turn(): Promise<void> {
    return new Promise((turned) => {
      this.#turned = turned;
      this.#turns.port2.postMessage(null);
    });
  }

  async #until(deadline: number): Promise<void> {
    for (;;) {
      const left = deadline - performance.now();
      if (this.#woken || left <= 0) break;
      if (left < TIMER_MIN) {
        await this.#turn();
        continue;
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resume) => {
        this.#resume = resume;
        if (left !== Infinity) timer = setTimeout(resume, Math.min(left, TIMER_MAX));
      });
      clearTimeout(timer);
      this.#resume = undefined;
    }
    this.#woken = false;
  }
}

/** Milliseconds of spinning before the worker blocks: a wake-up takes 10 to 200 us, an answer often less. */
const SPIN = 0.04;
/** Milliseconds of the longest wait in one piece: after each piece it looks whether the agent has been ended. */
const BLOCK_MAX = 1_000;

/** Blocks the worker on its mailbox. */
export class BlockingWait implements Waiting {
  constructor(
    private readonly mailbox: MailboxReader,
    private readonly takeMail: () => void,
  ) {}

  slow(run: Waitable): WebAssembly.ImportValue {
    return (reason: Reason) => {
      if (reason === Reason.Wait) this.pause(run);
      while (run.behind && !run.ended) this.#block(run, Infinity);
      return run.ended ? 1 : 0;
    };
  }

  pause(run: Waitable): void {
    run.beforeWait();
    this.#block(run, run.deadline());
  }

  /** Blocks until there is mail or the deadline has come, and takes the mail. */
  #block(run: Waitable, deadline: number): void {
    const spun = Math.min(deadline, performance.now() + SPIN);
    while (!this.mailbox.hasMail && performance.now() < spun);
    for (;;) {
      const seen = this.mailbox.wake;
      if (this.mailbox.hasMail) break;
      const left = deadline - performance.now();
      if (left <= 0 || run.ended) break;
      this.mailbox.wait(seen, Math.min(left, BLOCK_MAX));
    }
    this.takeMail();
  }

  enter(start: Function): unknown {
    return start();
  }

  wake(): void {
    // Nothing to do: what wakes a blocked worker is mail, which is taken at the end of the wait.
  }
}

/** Waits for time alone, by spinning; the kernel refuses every other wait with `EDEADLK`. */
export class ClockWait implements Waiting {
  #resume: (() => void) | undefined;
  #woken = false;

  slow(run: Waitable): WebAssembly.ImportValue {
    return () => {
      run.beforeWait();
      const deadline = run.deadline();
      while (performance.now() < deadline && !run.ended);
      return run.ended ? 1 : 0;
    };
  }

  /** Here no agent's code is on the stack, so the event loop can run. */
  async pause(run: Waitable): Promise<void> {
    run.beforeWait();
    if (!this.#woken) await new Promise<void>((resume) => (this.#resume = resume));
    this.#resume = undefined;
    this.#woken = false;
  }

  enter(start: Function): unknown {
    return start();
  }

  wake(): void {
    // While the agent runs nothing can arrive; this is for a `pause` after its end.
    this.#woken = true;
    this.#resume?.();
  }
}
