/** What the page has beside its form: the stage with the editor and the terminals, the inspector, and the choice of the variant. */
import { Stage } from './agent/stage.js';
import type { Launch } from './agent/launch.js';
import { CEditor } from './c/c-editor.js';
import { announce, byId, el, fill } from './element.js';
import { MEMORIES, VARIANTS, variantName, WAITS, type Engine } from './engine.js';
import { explain } from './failures.js';
import { Inspector } from './inspector/inspector.js';

function variantPicker(root: HTMLElement, engine: Engine): void {
  const select = el('select', { id: 'variant-choice' });
  const problem = el('span', { class: 'problem', role: 'alert' });
  const automatic = el('option', { value: '' });
  const options = VARIANTS.map((variant) => el('option', { value: variantName(variant) }, variantName(variant)));
  select.append(automatic, ...options);
  const show = (): void => {
    const { wait, memory } = engine.variant;
    root.title = `${WAITS[wait]}; ${MEMORIES[memory]}`;
    root.dataset['variant'] = `${wait}-${memory}`;
    automatic.textContent = select.value === '' ? `${variantName(engine.variant)} (best here)` : 'the best here';
  };
  let asked = false;
  select.addEventListener('focus', () => {
    if (asked) return;
    asked = true;
    void engine.unavailable().then((missing) => {
      for (const variant of missing) {
        const option = options[VARIANTS.indexOf(variant)];
        if (!option) continue;
        option.disabled = true;
        option.textContent = `${variantName(variant)} (not in this browser)`;
      }
    });
  });
  select.addEventListener('change', async () => {
    try {
      await engine.choose(VARIANTS.find((variant) => variantName(variant) === select.value) ?? null);
      problem.textContent = '';
      announce(`New agents use ${variantName(engine.variant)}`);
    } catch (error) {
      problem.textContent = explain(error).detail;
      select.value = '';
    }
    show();
  });
  fill(root, el('label', { for: select.id }, 'System calls'), select, problem);
  show();
}

export class Workbench {
  readonly #engine: Engine;
  readonly #stage: Stage;

  /** Puts everything on the page. `open` starts an agent as the form does. */
  constructor(engine: Engine, open: (launch: Launch) => void) {
    this.#engine = engine;
    variantPicker(byId('variant'), engine);
    const inspector = new Inspector(byId('inspector'), engine);
    const editor = new CEditor(engine, open);
    this.#stage = new Stage(byId('stage'), engine, editor.element, (view) => inspector.show(view));
    inspector.show(null);
  }

  /** Starts an agent in a tab of its own and shows it. */
  open(launch: Launch): void {
    this.#stage.open(launch);
  }

  /** The text of the shown agent's terminal. */
  get text(): string {
    return this.#stage.view?.console.text ?? '';
  }

  /** What the kernel says of a grant, if it can't be given. */
  problemOf(grant: string): string | null {
    try {
      this.#engine.capfs.checkGrant(grant);
      return null;
    } catch (error) {
      // The form says already which device it is.
      return explain(error).detail.replace(`${grant.split(',', 1)[0]}: `, '');
    }
  }
}

/** Shows why the page can't run anything. */
export function showFailure(error: unknown): void {
  const { title, detail } = explain(error);
  byId('stage').append(el('div', { class: 'failure', role: 'alert' }, el('strong', {}, title), el('pre', {}, detail)));
}
