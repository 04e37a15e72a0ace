/** The form that starts agents: a sample or a file of one's own, what it is given, and its limits. */
import type { Launch } from './agent/launch.js';
import { readGrant } from './capabilities/grant.js';
import { GrantEditor, type Check } from './capabilities/grant-editor.js';
import { nativeCommand, type NativeParts } from './capabilities/native-command.js';
import { nativeManifest } from './capabilities/native-manifest.js';
import { CommandLineError, joinArguments, parseEnvironment, splitArguments } from './command-line.js';
import { chosenFiles, droppedFiles, type Files } from './dropped-files.js';
import { el, fill, freshId } from './element.js';
import { bytes } from './format.js';
import { isServed, SAMPLES, type Sample } from './samples.js';

interface OwnProgram {
  readonly name: string;
  readonly module: Uint8Array<ArrayBuffer>;
}

const MIB = 1024 * 1024;

export class Launcher {
  readonly #start: (launch: Launch) => void;
  readonly #list = el('div', { class: 'samples', role: 'radiogroup', 'aria-label': 'Program' });
  readonly #args = el('input', { id: freshId('args'), name: 'args', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' });
  readonly #env = el('textarea', { id: freshId('env'), name: 'env', rows: 3, placeholder: 'NAME=value', autocapitalize: 'off', spellcheck: 'false' });
  readonly #memory = el('input', { id: freshId('memory'), name: 'memory', type: 'number', min: 1, max: 4096, placeholder: 'no limit', inputmode: 'numeric' });
  readonly #time = el('input', { id: freshId('time'), name: 'time', type: 'number', min: 1, placeholder: 'no limit', inputmode: 'numeric' });
  readonly #grants: GrantEditor;
  readonly #native = el('pre', { 'data-role': 'native', tabindex: 0, 'aria-label': 'Command line' });
  readonly #without = el('small');
  readonly #forms: Record<'command' | 'manifest', HTMLButtonElement>;
  #form: 'command' | 'manifest' = 'command';
  readonly #fileList = el('ul', { class: 'files' });
  readonly #problem = el('p', { class: 'problem', role: 'alert', hidden: true });
  #own: OwnProgram | null = null;
  #files: Record<string, string | Uint8Array> = {};

  /** `check` is what the kernel says of a grant. */
  constructor(root: HTMLElement, check: Check, start: (launch: Launch) => void) {
    this.#start = start;
    this.#grants = new GrantEditor(check, () => this.#drawNative());
    const modulePicker = el('input', {
      ...{ type: 'file', accept: '.wasm,application/wasm', id: freshId('module'), 'data-role': 'module' },
      onchange: async () => this.#take(await chosenFiles(modulePicker.files)),
    });
    const filePicker = el('input', {
      ...{ type: 'file', multiple: true, id: freshId('files'), 'data-role': 'files' },
      onchange: async () => this.#add(await chosenFiles(filePicker.files)),
    });
    const moduleZone = el('label', { class: 'drop', for: modulePicker.id }, modulePicker, el('strong', {}, 'Drop a .wasm here'), ' or choose one');
    const fileZone = el('label', { class: 'drop small', for: filePicker.id }, filePicker, 'Drop files, or choose them: they appear in its ', el('code', {}, '/'));
    dropTarget(moduleZone, (files) => this.#take(files));
    dropTarget(fileZone, (files) => this.#add(files));
    const copy = el('button', { type: 'button', onclick: () => void navigator.clipboard?.writeText(this.#native.textContent ?? '') }, 'Copy');
    const form = (name: 'command' | 'manifest', label: string): HTMLButtonElement =>
      el('button', { type: 'button', 'aria-pressed': 'false', 'data-form': name, onclick: () => { this.#form = name; this.#drawNative(); } }, label);
    this.#forms = { command: form('command', 'Command'), manifest: form('manifest', 'Manifest') };
    for (const control of [this.#args, this.#env, this.#memory, this.#time]) control.addEventListener('input', () => this.#drawNative());
    const fields = el(
      'form',
      { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      el(
        'div',
        { class: 'fields' },
        this.#list,
        moduleZone,
        field('Capabilities', this.#grants.element),
        field('Arguments', this.#args),
        field('Files', fileZone, this.#fileList),
        el('details', {}, el('summary', {}, 'Environment'), field('Variables, a line each', this.#env)),
        el('details', {}, el('summary', {}, 'Limits'), el('div', { class: 'pair' }, field('Memory, MiB', this.#memory), field('Time, s', this.#time))),
        el(
          'details',
          { open: true },
          el('summary', {}, 'The same natively'),
          el('div', { class: 'native' }, el('span', { class: 'forms' }, this.#forms.command, this.#forms.manifest, copy), this.#native),
          this.#without,
        ),
      ),
      this.#problem,
      el('button', { type: 'submit', class: 'primary' }, 'Start agent'),
    );
    root.append(el('h2', { class: 'tag', id: 'start-title' }, el('span', { class: 'box', 'aria-hidden': 'true' }), 'New agent'), fields);
    this.#draw();
    this.#choose(SAMPLES[0]);
  }

  /** Has each grant looked at again: the kernel is there now. */
  check(): void {
    this.#grants.check();
  }

  #draw(): void {
    const own = this.#own;
    fill(
      this.#list,
      ...SAMPLES.map((sample) => this.#option(sample, () => this.#choose(sample))),
      own && this.#option({ id: 'own', title: own.name, about: `${bytes(own.module.length)}, from this machine.`, language: 'yours' }, () => this.#reset()),
    );
  }

  #option(sample: Pick<Sample, 'id' | 'title' | 'about' | 'language'> & Partial<Sample>, chosen: () => void): HTMLElement {
    const { id, title, about, language, program } = sample;
    const radio = el('input', { type: 'radio', name: 'program', value: id, onchange: chosen });
    const note = el('small', { class: 'about' }, about);
    const asks = (sample.grants?.() ?? []).map((grant) => el('code', { class: 'chip' }, readGrant(grant).device));
    const chips = el('span', { class: 'chips' }, asks.length > 0 ? el('span', { class: 'hidden' }, 'asks for ') : null, ...asks);
    const option = el('label', { class: 'sample' }, radio, el('span', { class: 'line' }, el('strong', {}, title), el('small', {}, language), chips), note);
    if (program) {
      void isServed(program).then((served) => {
        if (served) return;
        radio.disabled = true;
        option.classList.add('absent');
        note.textContent = program.startsWith('langs/') ? 'Not on this server: npm install brings it.' : 'Not on this server: it wasn’t built.';
      });
    }
    return option;
  }

  #choose(sample: Sample | undefined): void {
    if (!sample) return;
    const radio = this.#list.querySelector<HTMLInputElement>(`[value="${sample.id}"]`);
    if (radio) radio.checked = true;
    this.#args.value = joinArguments(sample.args);
    this.#env.value = Object.entries(sample.env).map(([name, value]) => `${name}=${value}`).join('\n');
    this.#files = { ...sample.files };
    this.#grants.grants = sample.grants?.() ?? [];
    this.#drawFiles();
  }

  #reset(): void {
    this.#args.value = '';
    this.#env.value = '';
    this.#files = {};
    this.#grants.grants = [];
    this.#drawFiles();
  }

  /** Writes the command that does the same natively, as far as the fields can be understood yet. */
  #drawNative(): void {
    const { sample, own } = this.#chosen();
    try {
      const parts: NativeParts = {
        program: sample?.program ?? own?.name ?? 'program.wasm',
        args: splitArguments(this.#args.value),
        env: parseEnvironment(this.#env.value),
        grants: this.#grants.grants,
        files: Object.keys(this.#files).length > 0,
        ...(sample?.archive ? { archive: sample.archive } : {}),
        limits: this.#limits(),
      };
      const { command, without, state } = nativeCommand(parts);
      const run = `capfs-host run --manifest agent.toml${state ? ' --state state' : ''}`;
      for (const form of ['command', 'manifest'] as const) this.#forms[form].setAttribute('aria-pressed', String(form === this.#form));
      this.#native.textContent = this.#form === 'command' ? command : `# agent.toml, for ${run}\n${nativeManifest(parts)}`;
      this.#without.textContent = without.length > 0 ? `Without ${without.join(' and ')}: a page alone has ${without.length > 1 ? 'these' : 'this'}.` : '';
    } catch (error) {
      if (!(error instanceof CommandLineError)) throw error;
      this.#native.textContent = error.message;
    }
  }

  #limits(): Launch['limits'] {
    return {
      ...(this.#memory.valueAsNumber > 0 ? { memory: this.#memory.valueAsNumber * MIB } : {}),
      ...(this.#time.valueAsNumber > 0 ? { time: this.#time.valueAsNumber * 1000 } : {}),
    };
  }

  #chosen(): { sample: Sample | undefined; own: OwnProgram | null } {
    const id = this.#list.querySelector<HTMLInputElement>(':checked')?.value;
    return { sample: SAMPLES.find((one) => one.id === id), own: this.#own };
  }

  #take(files: Files): void {
    const wasm = Object.entries(files).find(([name]) => name.endsWith('.wasm'));
    if (!wasm) return this.#complain('That is not a .wasm file. Files for the program’s namespace go into the field below.');
    const [path, module] = wasm;
    this.#own = { name: path.slice(path.lastIndexOf('/') + 1), module: module as Uint8Array<ArrayBuffer> };
    this.#complain(null);
    this.#draw();
    this.#reset();
    const radio = this.#list.querySelector<HTMLInputElement>('[value=own]');
    if (radio) radio.checked = true;
    this.#drawNative();
    radio?.scrollIntoView({ block: 'nearest' });
  }

  #add(files: Files): void {
    Object.assign(this.#files, files);
    this.#drawFiles();
  }

  #drawFiles(): void {
    const row = ([path, data]: [string, string | Uint8Array]): HTMLElement =>
      el(
        'li',
        {},
        el('code', {}, `/${path}`),
        el('small', {}, bytes(typeof data === 'string' ? new TextEncoder().encode(data).length : data.length)),
        el('button', { type: 'button', 'aria-label': `Remove ${path}`, onclick: () => { delete this.#files[path]; this.#drawFiles(); } }, '×'),
      );
    fill(this.#fileList, ...Object.entries(this.#files).map(row));
    this.#drawNative();
  }

  #submit(): void {
    const { sample } = this.#chosen();
    if (!this.#grants.valid()) return this.#complain('A capability can’t be granted like that.');
    try {
      const common = {
        grants: this.#grants.grants,
        args: splitArguments(this.#args.value),
        env: parseEnvironment(this.#env.value),
        files: { ...this.#files },
        limits: this.#limits(),
      };
      this.#complain(null);
      if (sample) {
        this.#start({
          ...common,
          title: sample.title,
          program: new URL(sample.program, document.baseURI),
          name: sample.name,
          // A new version of a sample finds what the last one kept. Another program has its digest, whatever its file is called.
          id: sample.id,
          ...(sample.fetched
            ? { fetched: Object.fromEntries(Object.entries(sample.fetched).map(([path, address]) => [path, new URL(address, document.baseURI)])) }
            : {}),
          ...(sample.archive ? { archive: new URL(sample.archive, document.baseURI) } : {}),
          ...(sample.hint ? { hint: sample.hint } : {}),
        });
      } else if (this.#own) {
        this.#start({ ...common, title: this.#own.name, program: this.#own.module, name: this.#own.name });
      }
    } catch (error) {
      if (!(error instanceof CommandLineError)) throw error;
      this.#complain(error.message);
    }
  }

  #complain(problem: string | null): void {
    this.#problem.hidden = problem === null;
    this.#problem.textContent = problem ?? '';
  }
}

function field(label: string, control: HTMLElement, ...more: HTMLElement[]): HTMLElement {
  const labelled = control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement;
  const name = labelled ? el('label', { class: 'name', for: control.id }, label) : el('span', { class: 'name' }, label);
  return el('div', { class: 'field' }, name, control, ...more);
}

function dropTarget(zone: HTMLElement, take: (files: Files) => void): void {
  zone.addEventListener('dragover', (event) => {
    event.preventDefault();
    zone.classList.add('over');
  });
  zone.addEventListener('dragleave', () => zone.classList.remove('over'));
  zone.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove('over');
    if (event.dataTransfer) void droppedFiles(event.dataTransfer).then(take);
  });
}
