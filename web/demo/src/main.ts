/** Puts the page together: the form at once, and beside it the kernel and everything else, which are far larger. */
import type { Launch } from './agent/launch.js';
import { announce, byId, el } from './element.js';
import { Launcher } from './launcher.js';
import type { Workbench } from './workbench.js';

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

/** Loads what runs agents. `open` starts one as the form does. */
async function load(open: (launch: Launch) => void): Promise<Workbench> {
  // The kernel is asked for as soon as its loader is here, whatever else is still on its way.
  const [{ Workbench }, engine] = await Promise.all([import('./workbench.js'), import('./engine.js').then(({ Engine }) => Engine.start())]);
  return new Workbench(engine, open);
}

/** Says why nothing can be started; in words where those could be loaded. */
async function fail(error: unknown): Promise<void> {
  try {
    (await import('./workbench.js')).showFailure(error);
  } catch {
    byId('stage').append(el('div', { class: 'failure', role: 'alert' }, el('strong', {}, 'The page could not be loaded'), el('pre', {}, String(error))));
  }
  document.body.dataset['ready'] = 'failed';
}

for (const button of document.querySelectorAll<HTMLButtonElement>('nav.panes button')) {
  button.addEventListener('click', () => showPane(button.dataset['pane'] ?? 'start'));
  // Until this script is here they would do nothing.
  button.disabled = false;
}
byId('loading').remove();
showPane('start');
// A file dropped beside the fields would make the browser leave the page.
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault());

let workbench: Workbench | undefined;
const notice = el('p', { class: 'notice' }, 'Loading the kernel and the terminal…');
const open = (launch: Launch): void => {
  showPane('stage');
  if (!workbench) {
    notice.textContent = `Loading the kernel and the terminal. ${launch.title} starts when they are here…`;
    announce(notice.textContent);
  }
  // What failed to load is shown already.
  void loaded.then(
    (bench) => bench.open(launch),
    () => undefined,
  );
};
const loaded = load(open);
byId('stage').append(notice);
const launcher = new Launcher(byId('start'), (grant) => workbench?.problemOf(grant) ?? null, open);
loaded
  .then((bench) => {
    workbench = bench;
    launcher.check();
    window.terminalText = () => bench.text;
    document.body.dataset['ready'] = 'true';
  }, fail)
  .finally(() => notice.remove());
