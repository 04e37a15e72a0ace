/** The terminal of one agent: xterm.js on the screen side, a line discipline on the program's side. */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal, type ITheme } from '@xterm/xterm';
import { el, freshId } from '../element.js';
import { LineDiscipline, type LineEvents } from './line-discipline.js';

/** What the terminal reports of the keyboard. */
export type ConsoleEvents = Omit<LineEvents, 'echo'> & {
  /** The screen has another size. */
  resized(size: { columns: number; rows: number }): void;
};

/** Lines that can be scrolled back to. */
const SCROLLBACK = 5000;
/** Reverse wrap-around (DEC private mode 45), so that erasing goes back over the start of a wrapped line. */
const REVERSE_WRAP = '\x1b[?45h';

/** What the line below the terminal says while keys go to a program, and when they go to none any more. */
const KEYS = 'Tab goes to the program. Escape, then Tab or Shift+Tab, leaves the terminal.';
const NO_KEYS = 'Nothing is read any more: Tab and Shift+Tab leave the terminal.';
/** Keys that are held down while another one is pressed. */
const MODIFIERS: ReadonlySet<string> = new Set(['Shift', 'Control', 'Alt', 'Meta']);

const DARK = matchMedia('(prefers-color-scheme: dark)');

export class Console {
  /** The element to put on the page. */
  readonly element = document.createElement('div');
  /** The line to put below it: how the keyboard leaves. */
  readonly keys = el('p', { class: 'keys', id: freshId('keys') }, KEYS);
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #line: LineDiscipline;
  readonly #observer: ResizeObserver;
  readonly #retheme = (): void => {
    this.#terminal.options.theme = theme();
  };
  #opened = false;
  /** Whether the focus was asked for before the terminal was on the page. */
  #wanted = false;
  #typing = true;
  /** Whether somebody may read what is typed: else Tab is the browser's. */
  #read = true;
  /** Set by Escape: the next Tab leaves the terminal, so that the keyboard isn't caught in it. */
  #leaving = false;

  constructor(label: string, events: ConsoleEvents) {
    this.element.className = 'console';
    this.#terminal = new Terminal({
      convertEol: true,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      cursorStyle: 'block',
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
      fontSize: 13,
      lineHeight: 1.25,
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      theme: theme(),
    });
    this.#terminal.loadAddon(this.#fit);
    this.#line = new LineDiscipline({ ...events, echo: (text) => this.#terminal.write(text) });
    this.#terminal.onResize(({ cols, rows }) => events.resized({ columns: cols, rows }));
    this.#terminal.onData((data) => {
      if (this.#typing) this.#line.input(data);
    });
    // Ctrl+C copies where text is selected, as terminals on other systems do; without a selection it interrupts.
    this.#terminal.attachCustomKeyEventHandler((event) => {
      if (this.#leaves(event)) return false;
      const copies = event.key === 'c' && event.ctrlKey && !event.shiftKey && this.#terminal.hasSelection();
      return !copies;
    });
    this.#terminal.write(REVERSE_WRAP);
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(this.element);
    DARK.addEventListener('change', this.#retheme);
    this.element.dataset['label'] = label;
  }

  /** Shows what the program wrote; resolves once it is on the screen, so a flood of output is held back at its source. */
  write(data: Uint8Array | string): Promise<void> {
    return new Promise((done) => this.#terminal.write(data, done));
  }

  /** Shows a remark of the page, set apart from what the program wrote. */
  remark(text: string): void {
    const fresh = this.#terminal.buffer.active.cursorX === 0 ? '' : '\n';
    this.#terminal.write(`${fresh}\x1b[90m${text}\x1b[0m\n`);
  }

  /** Hands each key to the program as it is pressed, or no longer. */
  setRaw(raw: boolean): void {
    this.#line.setRaw(raw);
  }

  /** Nobody reads what is typed, from now on: Tab leaves the terminal. */
  endInput(): void {
    this.#read = false;
    this.keys.textContent = NO_KEYS;
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** Stops taking keys; the program is gone. */
  close(): void {
    this.#typing = false;
    this.endInput();
    this.#terminal.options.cursorBlink = false;
    this.#terminal.options.cursorInactiveStyle = 'none';
    this.#terminal.write('\x1b[?25l');
  }

  /** Gives the terminal the keyboard, at once or as soon as it is on the page. */
  focus(): void {
    this.#wanted = !this.#opened;
    this.#terminal.focus();
  }

  /** The screen and what was scrolled off, as text: for tests, and for people who copy it. */
  get text(): string {
    const buffer = this.#terminal.buffer.active;
    const lines: string[] = [];
    for (let y = 0; y < buffer.length; y++) {
      const line = buffer.getLine(y);
      if (!line) continue;
      const text = line.translateToString(true);
      if (line.isWrapped) lines.push((lines.pop() ?? '') + text);
      else lines.push(text);
    }
    return lines.join('\n').trimEnd();
  }

  dispose(): void {
    this.#observer.disconnect();
    DARK.removeEventListener('change', this.#retheme);
    this.#terminal.dispose();
  }

  /** Whether a key is the browser's, and takes the focus elsewhere. Escape is the program's too: it may be an editor. */
  #leaves({ type, key }: KeyboardEvent): boolean {
    if (key === 'Tab') return this.#leaving || !this.#read;
    if (type === 'keydown' && !MODIFIERS.has(key)) this.#leaving = key === 'Escape';
    return false;
  }

  #resize(): void {
    // xterm measures its font when it opens, which gives nothing while its tab is hidden.
    if (this.element.clientWidth === 0 || this.element.clientHeight === 0) return;
    if (!this.#opened) {
      this.#opened = true;
      this.#terminal.open(this.element);
      const input = this.#terminal.textarea;
      input?.setAttribute('aria-label', this.element.dataset['label'] ?? 'Terminal');
      input?.setAttribute('aria-describedby', this.keys.id);
      input?.addEventListener('blur', () => (this.#leaving = false));
    }
    this.#fit.fit();
    if (this.#wanted) this.focus();
  }
}

/** The terminal's colours; the custom properties of `theme.css` are the one place that has them. */
function theme(): ITheme {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    background: color('terminal'),
    foreground: color('terminal-text'),
    cursor: color('terminal-cursor'),
    cursorAccent: color('terminal'),
    selectionBackground: color('selected'),
    selectionForeground: color('selected-text'),
    black: color('ansi-black'),
    red: color('ansi-red'),
    green: color('ansi-green'),
    yellow: color('ansi-yellow'),
    blue: color('ansi-blue'),
    magenta: color('ansi-magenta'),
    cyan: color('ansi-cyan'),
    white: color('ansi-white'),
    brightBlack: color('ansi-bright-black'),
    brightRed: color('ansi-red'),
    brightGreen: color('ansi-green'),
    brightYellow: color('ansi-yellow'),
    brightBlue: color('ansi-blue'),
    brightMagenta: color('ansi-magenta'),
    brightCyan: color('ansi-cyan'),
    brightWhite: color('terminal-text'),
  };
}
