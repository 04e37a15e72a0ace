/** How an agent's worker waits while a call would block: one class for each variant. */
import { TIMER_MAX } from '../both/abort.js';
import type { MailboxReader } from '../both/mailbox.js';

/** What the adapter's `slow` is asked for. */
export const enum Reason {
  /** Something to happen, or the deadline. */
  Wait = 0,
  /** The worker's event loop to run once, and the page to hear what it is told. */
  Yield = 1,
}

/** What an agent's run offers to the one who waits for it. */
export interface Waitable {
  /** The pending call's deadline in milliseconds of `performance.now()`; infinite if it has none. */
  deadline(): number;
  /** Before a wait: sends what is gathered. */
  beforeWait(): void;
  /** Whether the page has more to hear than it may be told ahead: the agent waits until it has heard some of it. */
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
    // A long call that goes on at once: the event loop has its turn.
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
/** Milliseconds of the longest wait in one piece: every wait ends and looks at the kill word. */
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

  /** Blocks until there is mail, and takes it, or until then. */
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
    // Mail is taken where the wait ends.
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

  /** Without an agent's code on the stack the event loop can run. */
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
    // Nothing can arrive while an agent runs, but behind its end.
    this.#woken = true;
    this.#resume?.();
  }
}
