/** Shows one file of a namespace as text or as a hex dump, and follows its changes. */
import { el, fill } from '../element.js';
import { bytes } from '../format.js';
import type { FileSource } from './file-source.js';
import { asText, hexDump } from './hex.js';

/** Files above this size are offered as a download only. */
const READ_LIMIT = 16 * 1024 * 1024;
/** Bytes of a device that are read at once, when somebody asks for that. */
const DEVICE_LIMIT = 64 * 1024;
/** Bytes that are put on the page; more would make it slow. */
const SHOW_LIMIT = 64 * 1024;

type Form = 'text' | 'hex';

export class FileViewer {
  readonly element = el('div', { class: 'viewer', hidden: true });
  readonly #title = el('code', { class: 'path' });
  readonly #size = el('small');
  readonly #content = el('pre', { tabindex: 0, 'aria-label': 'File contents' });
  readonly #forms: Record<Form, HTMLButtonElement>;
  #source: FileSource | null = null;
  #path: string | null = null;
  #data: Uint8Array | null = null;
  #form: Form = 'text';
  /** Size and time of change of what is shown. */
  #version = '';
  /** Gives up the read that is under way: what it waits for may never come. */
  #reading: AbortController | null = null;

  constructor() {
    const form = (name: Form, label: string): HTMLButtonElement =>
      el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => { this.#form = name; this.#draw(); } }, label);
    this.#forms = { text: form('text', 'Text'), hex: form('hex', 'Hex') };
    this.element.append(
      el(
        'div',
        { class: 'tag' },
        this.#title,
        this.#size,
        el(
          'span',
          { class: 'actions' },
          this.#forms.text,
          this.#forms.hex,
          el('button', { type: 'button', onclick: () => void this.#download() }, 'Save'),
          el('button', { type: 'button', 'aria-label': 'Close the file', onclick: () => this.show(null, null) }, '×'),
        ),
      ),
      this.#content,
    );
  }

  /** Shows a file, or nothing. */
  show(source: FileSource | null, path: string | null): void {
    this.#reading?.abort();
    this.#reading = null;
    this.#source = source;
    this.#path = path;
    this.#data = null;
    this.#version = '';
    this.element.hidden = path === null;
    if (path === null) return;
    // The mark keeps the leading slash in front where a long path is cut at its start (see inspector.css).
    this.#title.textContent = `\u200e${path}`;
    this.#title.title = path;
    this.#size.textContent = '';
    this.#content.textContent = '';
    void this.refresh();
  }

  /** Looks whether the file changed, and has it read again if so. Resolves when that is known: reading it may take for ever. */
  async refresh(): Promise<void> {
    const source = this.#source;
    const path = this.#path;
    if (!source || path === null || this.#reading) return;
    try {
      const { size, mtime, type } = await source.stat(path);
      if (path !== this.#path || source !== this.#source) return;
      const version = type === 'file' ? `${size} ${mtime}` : type;
      if (version === this.#version) return;
      if (type !== 'file') this.#offer(type, version);
      else if (size > READ_LIMIT) this.#take(version, size, null);
      else void this.#read(version, size, READ_LIMIT);
    } catch (error) {
      if (path === this.#path) this.#fail(error);
    }
  }

  /** Reading a device does something: it takes keys that were meant for the agent, or makes what can be made there. So it is asked for. */
  #offer(type: string, version: string): void {
    this.#version = version;
    this.#data = null;
    this.#size.textContent = type;
    fill(
      this.#content,
      'Reading a device does what the device does: it may wait, take what it gives from the agent, or make something.\n\n',
      el('button', { type: 'button', onclick: () => void this.#read(version, undefined, DEVICE_LIMIT) }, 'Read it once'),
    );
  }

  async #read(version: string, size: number | undefined, maxBytes: number): Promise<void> {
    const source = this.#source;
    const path = this.#path;
    if (!source || path === null) return;
    const reading = (this.#reading = new AbortController());
    // What comes at once needs no words.
    if (size === undefined) fill(this.#content, 'Reading … ', el('button', { type: 'button', onclick: () => reading.abort() }, 'Stop'));
    try {
      const data = await source.readFile(path, { maxBytes, signal: reading.signal });
      if (this.#reading === reading) this.#take(version, size ?? data.length, data);
    } catch (error) {
      if (this.#reading === reading) this.#fail(error, version);
    } finally {
      if (this.#reading === reading) this.#reading = null;
    }
  }

  #take(version: string, size: number, data: Uint8Array | null): void {
    if (this.#version === '' || this.#data === null) this.#form = data && asText(data) !== null ? 'text' : 'hex';
    this.#version = version;
    this.#data = data;
    this.#size.textContent = bytes(size);
    this.#draw();
  }

  #fail(error: unknown, version = 'gone'): void {
    this.#version = version;
    this.#data = null;
    this.#content.textContent = `It can’t be read: ${error instanceof Error ? error.message : String(error)}`;
  }

  #draw(): void {
    for (const name of ['text', 'hex'] as const) this.#forms[name].setAttribute('aria-pressed', String(this.#form === name));
    if (!this.#data) {
      this.#content.textContent = `Files above ${bytes(READ_LIMIT)} aren’t shown; Save brings them.`;
      return;
    }
    const part = this.#data.subarray(0, SHOW_LIMIT);
    const narrow = this.element.clientWidth < 480;
    const text = this.#form === 'hex' ? hexDump(part, narrow ? 8 : 16) : new TextDecoder().decode(part);
    const rest = this.#data.length - part.length;
    fill(this.#content, this.#data.length === 0 ? el('em', {}, 'The file is empty.') : text, rest > 0 ? el('em', {}, `\n… ${bytes(rest)} more`) : null);
  }

  async #download(): Promise<void> {
    if (!this.#source || this.#path === null) return;
    const path = this.#path;
    const { type } = await this.#source.stat(path);
    // A device is saved as far as it was read.
    const data = this.#data ?? (type === 'file' ? await this.#source.readFile(path) : null);
    if (!data) return;
    const address = URL.createObjectURL(new Blob([data as Uint8Array<ArrayBuffer>]));
    el('a', { href: address, download: path.slice(path.lastIndexOf('/') + 1) }).click();
    URL.revokeObjectURL(address);
  }
}
