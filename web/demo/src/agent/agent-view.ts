/** One agent on the page: its bar, its terminal, and what is said when it fails. */
import type { Agent, Exit, Progress } from 'capfs';
import { AuditLog } from '../capabilities/audit-log.js';
import { readGrant } from '../capabilities/grant.js';
import { OperationLog } from '../capabilities/operation-log.js';
import { announce, el, fill, freshId } from '../element.js';
import type { Engine } from '../engine.js';
import { bytes } from '../format.js';
import { explain, explainExit, exitLabel, type Failure } from '../failures.js';
import { Console } from '../terminal/console.js';
import { sizeOf } from '../sizes.js';
import { ownFiles, SHARED, spawnOptions, type Launch } from './launch.js';

/** Where an agent is in its life: it ends as `ended`, or as `refused` when it couldn't be started at all. */
export type State = 'starting' | 'running' | 'ended' | 'refused';

/** Tells the tab strip and the inspector that something about the agent is new. */
export type Changed = (view: AgentView) => void;

/** Pieces of a stream that may be on their way to the screen. */
const PIECES = 32;

export class AgentView {
  readonly launch: Launch;
  readonly id = freshId('agent');
  /** The panel to put on the page. */
  readonly element: HTMLElement;
  readonly console: Console;
  /** What it did with its capabilities. */
  readonly audit = new AuditLog();
  /** The places of the capabilities that were taken away. */
  readonly revoked = new Set<string>();
  /** The part of the page that it has, where `dom` was granted. */
  readonly #page: HTMLElement | null;
  readonly #engine: Engine;
  readonly #changed: Changed;
  readonly #label = el('span', { class: 'state-label' });
  readonly #kill: HTMLButtonElement;
  readonly #end: HTMLButtonElement;
  readonly #failure = el('div', { class: 'failure', role: 'alert', hidden: true });
  #state: State = 'starting';
  #agent: Agent | null = null;
  #exit: Exit | null = null;
  /** Aborts a start that is under way when the tab is closed or killed. */
  readonly #abort = new AbortController();

  constructor(launch: Launch, engine: Engine, changed: Changed, again: (launch: Launch) => void) {
    this.launch = launch;
    this.#engine = engine;
    this.#changed = changed;
    this.console = new Console(`Terminal of ${launch.title}`, {
      send: (text) => void this.#agent?.write(text).catch(() => undefined),
      end: () => void this.endInput(),
      interrupt: () => void this.kill(),
      resized: ({ columns, rows }) => this.#agent?.resize(columns, rows),
    });
    this.#kill = el('button', { type: 'button', class: 'danger', onclick: () => void this.kill(), title: 'Kill the agent (Ctrl+C in the terminal)' }, 'Kill');
    this.#end = el('button', { type: 'button', onclick: () => void this.endInput(), title: 'End its standard input (Ctrl+D on an empty line)' }, 'End input');
    const hasPage = launch.grants.some((grant) => readGrant(grant).device === 'dom');
    this.#page = hasPage ? el('div', { class: 'page-part', role: 'region', 'aria-label': `What ${launch.title} shows` }) : null;
    const command = [launch.name, ...launch.args].join(' ');
    this.element = el(
      'div',
      { class: 'agent', id: this.id, role: 'tabpanel', 'aria-labelledby': `${this.id}-tab`, tabindex: -1, hidden: true },
      el(
        'div',
        { class: 'tag' },
        el('span', { class: 'box', 'aria-hidden': 'true' }),
        el('code', { class: 'command', title: command }, command),
        this.#label,
        el(
          'span',
          { class: 'actions' },
          this.#end,
          this.#kill,
          el('button', { type: 'button', class: 'again', onclick: () => again(launch) }, 'Run again'),
        ),
      ),
      this.#failure,
      ...(this.#page ? [this.#page] : []),
      this.console.element,
      this.console.keys,
      ...(launch.grants.length > 0 ? [new OperationLog(this.audit).element] : []),
    );
    this.#show();
  }

  get state(): State {
    return this.#state;
  }
  /** The agent, once it was started. */
  get agent(): Agent | null {
    return this.#agent;
  }
  get exit(): Exit | null {
    return this.#exit;
  }

  /** Starts the agent and follows it to its end; a failure is shown, so this never throws. */
  async run(): Promise<void> {
    if (this.launch.hint) this.console.remark(this.launch.hint);
    const { capfs } = this.#engine;
    try {
      await capfs.makeDir(SHARED).catch(() => undefined);
      this.#agent = await capfs.spawn(this.launch.program, {
        ...spawnOptions(this.launch, await ownFiles(this.launch), capfs.variant),
        audit: (event) => this.audit.add(event),
        progress: (progress) => this.#arrives(progress),
        ...(this.#page ? { dom: this.#page } : {}),
        console: {
          raw: (on) => this.console.setRaw(on),
          size: this.console.size,
          log: (line) => this.console.remark(line),
          warn: (line) => this.console.remark(`warning: ${line}`),
          error: (line) => this.console.remark(`error: ${line}`),
        },
        signal: this.#abort.signal,
      });
    } catch (error) {
      this.#state = 'refused';
      this.#fail(explain(error));
      this.#finish('not started');
      return;
    }
    this.#state = 'running';
    announce(`${this.launch.title}: running`);
    // Where calls can't wait, its input has ended from the start.
    if (capfs.variant.wait === 'none') this.console.endInput();
    this.#show();
    this.#changed(this);
    const output = Promise.all([this.#pump(this.#agent.stdout), this.#pump(this.#agent.stderr)]);
    this.#exit = await this.#agent.exit;
    // What it wrote last may still be on its way to the screen.
    await output.catch(() => undefined);
    this.#state = 'ended';
    const failure = explainExit(this.#exit);
    if (failure) this.#fail(failure);
    const label = exitLabel(this.#exit);
    this.console.remark(`[${label}]`);
    this.#finish(label);
  }

  async kill(): Promise<void> {
    // A button that can't be pressed any more loses the focus, which would be nowhere then.
    if (document.activeElement === this.#kill) this.element.focus();
    this.#kill.disabled = true;
    this.#abort.abort();
    await this.#agent?.kill().catch(() => undefined);
  }

  async endInput(): Promise<void> {
    if (document.activeElement === this.#end) this.element.focus();
    this.#end.disabled = true;
    this.console.endInput();
    await this.#agent?.closeStdin().catch(() => undefined);
  }

  /** Takes a capability away; whether there was one. */
  async revoke(at: string): Promise<boolean> {
    const gone = (await this.#agent?.revoke(at).catch(() => false)) ?? false;
    if (gone) this.revoked.add(at);
    return gone;
  }

  /** Ends the agent and lets go of its files. */
  async close(): Promise<void> {
    await this.kill();
    await this.#agent?.dispose().catch(() => undefined);
    this.console.dispose();
    this.#engine.sweep();
  }

  /** Shows how much of what it is started with has arrived. */
  #arrives({ address, loaded, total = sizeOf(address) }: Progress): void {
    if (this.#state !== 'starting') return;
    const size = total === undefined ? bytes(loaded) : `${bytes(loaded)} of ${bytes(total)}`;
    this.#show(`loading ${address.slice(address.lastIndexOf('/') + 1)}, ${size}`);
  }

  /** Shows a stream. It asks for the next piece before this one is on the screen, so that two streams keep their order. */
  async #pump(stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader();
    const shown: Promise<void>[] = [];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      shown.push(this.console.write(value));
      if (shown.length > PIECES) await shown.shift();
    }
    await Promise.all(shown);
  }

  #fail(failure: Failure): void {
    fill(
      this.#failure,
      el('strong', {}, failure.title),
      el('pre', {}, failure.detail),
      failure.hint ? el('p', {}, failure.hint) : null,
    );
    this.#failure.hidden = false;
  }

  #finish(label: string): void {
    this.console.close();
    this.#show(label);
    announce(`${this.launch.title}: ${label}`);
    this.#changed(this);
  }

  #show(label = this.#state === 'starting' ? 'starting…' : 'running'): void {
    const over = this.#state === 'ended' || this.#state === 'refused';
    const failed = this.#state === 'refused' || (this.#exit !== null && this.#exit.code !== 0);
    this.element.dataset['state'] = over ? (failed ? 'failed' : 'done') : this.#state;
    this.#label.textContent = label;
    this.#kill.hidden = this.#end.hidden = over;
  }
}
