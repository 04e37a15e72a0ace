/** The right side of the page: the namespace of the shown agent, a file of it, its start and what it uses. */
import type { AgentView } from '../agent/agent-view.js';
import { el } from '../element.js';
import type { Engine } from '../engine.js';
import type { FileSource } from './file-source.js';
import { CapabilityList } from './capability-list.js';
import { FileViewer } from './file-viewer.js';
import { NamespaceTree } from './namespace-tree.js';
import { ResourceMeter } from './resource-meter.js';
import { StartPhases } from './start-phases.js';

/** Time between two looks at a running agent, in ms: often enough to seem live, too seldom to cost anything. */
const INTERVAL = 500;

export class Inspector {
  readonly #engine: Engine;
  readonly #heading = el('span', {}, 'Namespace');
  readonly #tree: NamespaceTree;
  readonly #viewer = new FileViewer();
  readonly #capabilities = new CapabilityList();
  readonly #phases = new StartPhases();
  readonly #meter = new ResourceMeter();
  readonly #root: HTMLElement;
  #view: AgentView | null = null;
  #source: FileSource | null = null;
  /** Whether a look is under way: a spinning agent doesn't answer, and looks must not pile up. */
  #looking = false;

  constructor(root: HTMLElement, engine: Engine) {
    this.#root = root;
    this.#engine = engine;
    this.#tree = new NamespaceTree((path) => this.#viewer.show(this.#source, path));
    root.append(
      section('capability-part', el('span', {}, 'Capabilities'), this.#capabilities.element),
      section('tree-part', this.#heading, this.#tree.element, this.#viewer.element),
      section('phases-part', el('span', {}, 'Start'), this.#phases.element),
      section('meter-part', el('span', {}, 'Use'), this.#meter.element),
    );
    setInterval(() => {
      // What the capabilities have come to: it asks the agent nothing.
      if (document.visibilityState === 'visible') this.#capabilities.show(this.#view);
      if (document.visibilityState === 'visible' && this.#view?.state !== 'ended') void this.#look();
    }, INTERVAL);
  }

  /** Shows an agent, or the page's own tree when no agent is shown; called again whenever the agent's state changes. */
  show(view: AgentView | null): void {
    const source = view ? view.agent : this.#engine.capfs;
    if (view !== this.#view || source !== this.#source) {
      this.#view = view;
      this.#source = source;
      this.#tree.show(source);
      this.#viewer.show(null, null);
      this.#meter.reset();
    }
    this.#heading.textContent = view ? `Namespace of ${view.launch.title}` : 'The page’s own tree';
    this.#root.classList.toggle('idle', view === null);
    this.#phases.show(view?.agent?.timings ?? null);
    this.#capabilities.show(view);
    void this.#look();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    const view = this.#view;
    this.#looking = true;
    try {
      await this.#tree.refresh();
      await this.#viewer.refresh();
      if (view?.agent) {
        const usage = view.exit?.usage ?? (await view.agent.usage());
        if (view === this.#view) {
          this.#meter.show(usage);
          this.#phases.show(view.agent.timings);
        }
      }
    } catch {
      // The agent ended or was disposed of while it was asked; its next state shows what there is.
    } finally {
      this.#looking = false;
      // What was asked for in the meantime was turned away, so it is looked at now.
      if (view !== this.#view) void this.#look();
    }
  }
}

function section(name: string, heading: HTMLElement, ...content: HTMLElement[]): HTMLElement {
  return el('section', { class: name }, el('h2', { class: 'tag' }, el('span', { class: 'box', 'aria-hidden': 'true' }), heading), ...content);
}
