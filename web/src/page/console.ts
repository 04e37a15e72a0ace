/** The page's side of an agent's console. */
import { reportThrown } from '../both/errors.js';
import type { ConsoleOptions } from '../both/types.js';
import { InputStream } from './streams.js';

/** The numbers of the streams from an agent's console. */
const SCREEN = 3;
const LEVELS = { 4: 'log', 5: 'warn', 6: 'error' } as const;
/** Characters of an unfinished line of messages that are kept: a longer line is shown in pieces. */
const LINE_MAX = 65_536;

/** Characters that are left out of messages: those that a terminal takes for commands (Node's console may be on one), and those that reverse the order of text. */
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export class ConsoleEnd {
  /** What is typed into a terminal of the console's own. */
  readonly keyboard: InputStream | undefined;
  #isRaw = false;
  readonly #pending = new Map<number, { text: string; decoder: TextDecoder }>();

  constructor(
    private readonly options: ConsoleOptions,
    private readonly agent: string,
    send: (bytes: Uint8Array) => void,
    sendEnd: (failed: boolean) => void,
  ) {
    if (options.write) this.keyboard = new InputStream(send, sendEnd);
  }

  /** Passes on what the agent wrote to one of the console's streams; each step is one call of a page's function. */
  *take(stream: number, bytes: Uint8Array): Generator<void> {
    if (stream === SCREEN) {
      yield this.#tell(() => this.options.write?.(bytes));
      return;
    }
    const line = this.#pending.get(stream) ?? { text: '', decoder: new TextDecoder('utf-8', { ignoreBOM: true }) };
    this.#pending.set(stream, line);
    const lines = (line.text + line.decoder.decode(bytes, { stream: true })).split('\n');
    line.text = lines.pop() ?? '';
    if (line.text.length > LINE_MAX) {
      lines.push(line.text);
      line.text = '';
    }
    for (const text of lines) yield this.#message(stream, text);
  }

  raw(on: boolean): void {
    this.#isRaw = on;
    this.#tell(() => this.options.raw?.(on));
  }

  /** The agent has ended: shows its unfinished messages, one a step. */
  *end(): Generator<void> {
    const pending = [...this.#pending];
    this.#pending.clear();
    for (const [stream, { text }] of pending) if (text !== '') yield this.#message(stream, text);
    if (this.#isRaw) yield this.raw(false);
  }

  #message(stream: number, text: string): void {
    const level = LEVELS[stream as keyof typeof LEVELS];
    const take = this.options[level];
    if (take) this.#tell(() => take(text));
    // Also the methods of `console` itself, which the page may have replaced.
    else this.#tell(() => globalThis.console[level](`${this.agent}: ${text.replace(CONTROL, '\ufffd')}`));
  }

  /** Calls one of the page's functions. What it throws is reported, and the agent's output goes on. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      reportThrown(error);
    }
  }
}
