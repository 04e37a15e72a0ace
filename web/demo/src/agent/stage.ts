/** The middle of the page: the tabs, the C editor in the first of them, and a terminal for each agent. */
import { el, fill } from '../element.js';
import type { Engine } from '../engine.js';
import { AgentView } from './agent-view.js';
import type { Launch } from './launch.js';

const EDITOR = 'editor';

export class Stage {
  readonly #engine: Engine;
  readonly #editor: HTMLElement;
  readonly #strip = el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Agents', onkeydown: (event) => this.#key(event) });
  readonly #panels = el('div', { class: 'panels' });
  readonly #selected: (view: AgentView | null) => void;
  #views: AgentView[] = [];
  /** What the tabs are called: no two of them alike. */
  readonly #names = new WeakMap<AgentView, string>();
  #current = EDITOR;

  /** `selected` hears of every change of the shown agent, and of every change in it. */
  constructor(root: HTMLElement, engine: Engine, editor: HTMLElement, selected: (view: AgentView | null) => void) {
    this.#engine = engine;
    this.#editor = editor;
    this.#selected = selected;
    editor.id = EDITOR;
    editor.setAttribute('role', 'tabpanel');
    editor.setAttribute('aria-labelledby', `${EDITOR}-tab`);
    this.#panels.append(editor);
    root.append(this.#strip, this.#panels);
    this.#draw();
  }

  /** The agent that is shown, if it isn't the editor. */
  get view(): AgentView | null {
    return this.#views.find((view) => view.id === this.#current) ?? null;
  }

  /** All agents that have a tab, oldest first. */
  get views(): readonly AgentView[] {
    return this.#views;
  }

  /** Starts an agent in a tab of its own and shows it. */
  open(launch: Launch): AgentView {
    const view = new AgentView(
      launch,
      this.#engine,
      () => {
        this.#draw();
        if (view === this.view) this.#selected(view);
      },
      (again) => this.open(again),
    );
    const taken = this.#views.map((other) => this.#names.get(other));
    let name = launch.title;
    for (let number = 2; taken.includes(name); number++) name = `${launch.title} ${number}`;
    this.#names.set(view, name);
    this.#views.push(view);
    this.#panels.append(view.element);
    this.select(view.id);
    view.console.focus();
    void view.run();
    return view;
  }

  select(id: string): void {
    this.#current = id;
    this.#editor.hidden = id !== EDITOR;
    for (const view of this.#views) view.element.hidden = view.id !== id;
    this.#draw();
    this.#selected(this.view);
  }

  async #close(view: AgentView): Promise<void> {
    const at = this.#views.indexOf(view);
    this.#views = this.#views.filter((other) => other !== view);
    view.element.remove();
    if (this.#current === view.id) this.select((this.#views[at] ?? this.#views.at(-1))?.id ?? EDITOR);
    else this.#draw();
    document.getElementById(`${this.#current}-tab`)?.focus();
    await view.close();
  }

  #draw(): void {
    const focused = document.activeElement?.id;
    fill(
      this.#strip,
      this.#tab(EDITOR, 'main.c', 'editor', null),
      ...this.#views.map((view) => this.#tab(view.id, this.#names.get(view) ?? view.launch.title, view.element.dataset['state'] ?? '', view)),
    );
    if (focused?.endsWith('-tab')) document.getElementById(focused)?.focus();
    this.#strip.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  #tab(id: string, title: string, state: string, view: AgentView | null): HTMLElement {
    const selected = id === this.#current;
    const tab = el(
      'button',
      { type: 'button', role: 'tab', id: `${id}-tab`, 'aria-controls': id, 'aria-selected': String(selected), tabindex: selected ? 0 : -1, onclick: () => this.select(id) },
      el('span', { class: 'box', 'aria-hidden': 'true' }),
      title,
      el('span', { class: 'hidden' }, state === EDITOR ? '' : `, ${state}`),
    );
    return el(
      'span',
      { class: 'tab', role: 'presentation', 'data-state': state },
      tab,
      view && el('button', { type: 'button', class: 'close', 'aria-label': `Close ${title}`, onclick: () => void this.#close(view) }, '×'),
    );
  }

  #key(event: KeyboardEvent): void {
    const ids = [EDITOR, ...this.#views.map((view) => view.id)];
    const at = ids.indexOf(this.#current);
    if (event.key === 'Delete' && this.view) return void this.#close(this.view);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: ids.length - 1 }[event.key];
    const id = to === undefined ? undefined : ids[(to + ids.length) % ids.length];
    if (!id) return;
    event.preventDefault();
    this.select(id);
    document.getElementById(`${id}-tab`)?.focus();
  }
}
