/**
 * A cooked-mode line discipline, as Plan 9's `cons` and a POSIX tty have it: what is typed is echoed and edited here,
 * and reaches the program a line at a time. It holds no terminal and no agent, so it can be tested as a plain object.
 */

/** Where the discipline puts what it decides. */
export interface LineEvents {
  /** Text for the screen, with its control sequences. */
  echo(text: string): void;
  /** Text for the program's standard input. */
  send(text: string): void;
  /** `^D` on an empty line: the input ends. */
  end(): void;
  /** `^C`: the program is to be killed. */
  interrupt(): void;
}

const ESCAPE = '\x1b';
const INTERRUPT = '\x03';
/** Lines that the up arrow can bring back; older ones are dropped. */
const HISTORY_LIMIT = 500;

/** One line being edited, and the lines before it. */
export class LineDiscipline {
  #line = '';
  #history: string[] = [];
  /** Where in the history the arrows are; the length of the history stands for the line being written. */
  #at = 0;
  #draft = '';
  #raw = false;
  readonly #events: LineEvents;

  constructor(events: LineEvents) {
    this.#events = events;
  }

  /** The line so far, without what was sent already. */
  get pending(): string {
    return this.#line;
  }

  /** Hands over each key as it comes, without echo (`rawon` of cons(3)), or no longer. What was typed of a line goes first. */
  setRaw(raw: boolean): void {
    if (raw && !this.#raw && this.#line !== '') this.#flush('');
    this.#raw = raw;
  }

  /** Takes what a terminal reports: typed characters, a control sequence of one key, or pasted text of any length. */
  input(data: string): void {
    if (this.#raw) {
      // The way out is always open: it is a signal for the page, not a key for the program.
      if (data.includes(INTERRUPT)) this.#events.interrupt();
      else this.#events.send(data);
      return;
    }
    if (data.startsWith(ESCAPE) && data.length > 1) {
      if (data === `${ESCAPE}[A` || data === `${ESCAPE}OA`) this.#recall(-1);
      else if (data === `${ESCAPE}[B` || data === `${ESCAPE}OB`) this.#recall(1);
      // Other keys (arrows to the side, function keys) mean nothing in cooked mode.
      return;
    }
    for (const char of data.replaceAll('\r\n', '\r')) this.#char(char);
  }

  #char(char: string): void {
    switch (char) {
      case '\r':
      case '\n':
        this.#events.echo('\r\n');
        this.#remember();
        this.#flush('\n');
        return;
      case '\x7f':
      case '\b':
        this.#erase(1);
        return;
      case '\x03':
        this.#events.echo('^C\r\n');
        this.#line = '';
        this.#events.interrupt();
        return;
      case '\x04':
        // As in a tty: on an empty line it ends the input, else it hands over the line without a newline.
        if (this.#line === '') this.#events.end();
        else this.#flush('');
        return;
      case '\x15':
        this.#erase([...this.#line].length);
        return;
      case '\x17':
        this.#erase([...(/\S*\s*$/.exec(this.#line)?.[0] ?? '')].length);
        return;
      case '\t':
        this.#type('\t');
        return;
      default:
        if (char >= ' ') this.#type(char);
    }
  }

  #type(char: string): void {
    this.#line += char;
    // A tab is shown as one blank, so that erasing it takes one column back.
    this.#events.echo(char === '\t' ? ' ' : char);
  }

  #erase(count: number): void {
    const chars = [...this.#line];
    const gone = chars.splice(Math.max(0, chars.length - count));
    this.#line = chars.join('');
    this.#events.echo('\b \b'.repeat(gone.reduce((columns, char) => columns + width(char), 0)));
  }

  #flush(end: string): void {
    const text = this.#line + end;
    this.#line = '';
    this.#events.send(text);
  }

  #remember(): void {
    if (this.#line.trim() !== '' && this.#history.at(-1) !== this.#line) this.#history.push(this.#line);
    if (this.#history.length > HISTORY_LIMIT) this.#history.shift();
    this.#at = this.#history.length;
    this.#draft = '';
  }

  #recall(step: number): void {
    const to = this.#at + step;
    if (to < 0 || to > this.#history.length) return;
    if (this.#at === this.#history.length) this.#draft = this.#line;
    this.#at = to;
    const text = to === this.#history.length ? this.#draft : (this.#history[to] ?? '');
    this.#erase([...this.#line].length);
    for (const char of text) this.#type(char);
  }
}

/** Columns that a character takes on the screen: two for East Asian wide ones and emoji, none for combining marks. */
function width(char: string): number {
  if (/\p{Mark}/u.test(char)) return 0;
  return /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
    char,
  )
    ? 2
    : 1;
}
