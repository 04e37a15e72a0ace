/** Puts the page together: launcher, stage, inspector, and the choice of the variant. */
import { AgentView } from './agent/agent-view.js';
import type { Launch } from './agent/launch.js';
import { Stage } from './agent/stage.js';
import { CEditor } from './c/c-editor.js';
import { announce, byId, el, fill } from './element.js';
import { Engine, MEMORIES, VARIANTS, variantName, WAITS } from './engine.js';
import { explain } from './failures.js';
import { Inspector } from './inspector/inspector.js';
import { Launcher } from './launcher.js';

declare global {
  interface Window {
    /** The text of the shown agent's terminal, for tests and for the console. */
    terminalText?: () => string;
  }
}

/** Shows one pane where the screen has room for one; wider screens show all of them. */
function showPane(name: string): void {
  document.body.dataset['pane'] = name;
  for (const button of document.querySelectorAll<HTMLButtonElement>('nav.panes button')) {
    if (button.dataset['pane'] === name) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
}

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

/** What the kernel says of a grant, if it can't be given. */
function problemOf(engine: Engine, grant: string): string | null {
  try {
    engine.capfs.checkGrant(grant);
    return null;
  } catch (error) {
    // The form says already which device it is.
    return explain(error).detail.replace(`${grant.split(',', 1)[0]}: `, '');
  }
}

async function main(): Promise<void> {
  for (const button of document.querySelectorAll<HTMLButtonElement>('nav.panes button')) {
    button.addEventListener('click', () => showPane(button.dataset['pane'] ?? 'start'));
  }
  showPane('start');
  // A file dropped beside the fields would make the browser leave the page.
  for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault());

  const engine = await Engine.start();
  variantPicker(byId('variant'), engine);
  const inspector = new Inspector(byId('inspector'), engine);
  const open = (launch: Launch): AgentView => {
    showPane('stage');
    return stage.open(launch);
  };
  const editor = new CEditor(engine, open);
  const stage = new Stage(byId('stage'), engine, editor.element, (view) => inspector.show(view));
  new Launcher(byId('start'), (grant) => problemOf(engine, grant), open);
  inspector.show(null);
  window.terminalText = () => stage.view?.console.text ?? '';
  document.body.dataset['ready'] = 'true';
}

main().catch((error: unknown) => {
  const { title, detail } = explain(error);
  byId('stage').append(el('div', { class: 'failure', role: 'alert' }, el('strong', {}, title), el('pre', {}, detail)));
  document.body.dataset['ready'] = 'failed';
});
