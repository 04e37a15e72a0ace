/** A namespace as a tree that follows its changes: the ARIA tree pattern, one row for each visible entry. */
import { el } from '../element.js';
import { bytes } from '../format.js';
import { childPath, type FileSource } from './file-source.js';

/** Entries that a directory shows; the rest is counted in one last row. */
const SHOWN = 500;

interface Row {
  readonly path: string;
  readonly name: string;
  readonly level: number;
  readonly directory: boolean;
  readonly note: string;
}

export class NamespaceTree {
  readonly element = el('ul', { class: 'tree', role: 'tree', 'aria-label': 'Namespace', onkeydown: (event) => this.#key(event) });
  readonly #open: (path: string) => void;
  #source: FileSource | null = null;
  #expanded = new Set<string>(['/']);
  #rows: Row[] = [];
  #items = new Map<string, HTMLLIElement>();
  #current = '/';
  /** Counts changes of the source, so that a slow answer of an earlier one is dropped. */
  #epoch = 0;

  /** `open` is called with the path of a file that was chosen. */
  constructor(open: (path: string) => void) {
    this.#open = open;
  }

  /** Shows another namespace, folded up. */
  show(source: FileSource | null): void {
    this.#source = source;
    this.#epoch++;
    this.#expanded = new Set(['/']);
    this.#rows = [];
    this.#items.clear();
    this.element.replaceChildren();
    this.element.classList.toggle('empty', source === null);
  }

  /** Reads the unfolded directories again and marks what is new or changed. */
  async refresh(): Promise<void> {
    const source = this.#source;
    const epoch = this.#epoch;
    if (!source) return;
    const rows: Row[] = [{ path: '/', name: '/', level: 1, directory: true, note: '' }];
    await this.#list(source, '/', 2, rows);
    if (epoch === this.#epoch) this.#draw(rows);
  }

  async #list(source: FileSource, directory: string, level: number, rows: Row[]): Promise<void> {
    if (!this.#expanded.has(directory)) return;
    let entries;
    try {
      entries = await source.readDir(directory);
    } catch {
      // It was removed since its parent was read.
      this.#expanded.delete(directory);
      return;
    }
    const listed = entries
      .filter(({ name }) => name !== '.' && name !== '..')
      .sort((a, b) => Number(b.type === 'directory') - Number(a.type === 'directory') || a.name.localeCompare(b.name));
    for (const { name, type } of listed.slice(0, SHOWN)) {
      const path = childPath(directory, name);
      const folder = type === 'directory';
      const stat = folder ? null : await source.stat(path).catch(() => null);
      rows.push({ path, name, level, directory: folder, note: type === 'file' ? (stat ? bytes(Number(stat.size)) : '') : folder ? '' : type });
      if (folder) await this.#list(source, path, level + 1, rows);
    }
    if (listed.length > SHOWN) {
      const more = listed.length - SHOWN;
      rows.push({ path: `${directory}\0more`, name: `… and ${more} more`, level, directory: false, note: '' });
    }
  }

  #draw(rows: Row[]): void {
    const first = this.#rows.length === 0;
    const before = new Map(this.#rows.map((row) => [row.path, row]));
    const items = new Map<string, HTMLLIElement>();
    for (const row of rows) {
      const old = before.get(row.path);
      let item = this.#items.get(row.path);
      if (!item || !old || old.directory !== row.directory) item = this.#item(row);
      const note = item.querySelector('small');
      if (note) note.textContent = row.note;
      if (row.directory) item.setAttribute('aria-expanded', String(this.#expanded.has(row.path)));
      // What is under a folder that was just unfolded isn't new, only newly seen.
      const parentSeen = this.#items.has(row.path) || this.#siblingsSeen(row.path);
      if (!first && parentSeen && (!old || old.note !== row.note)) flash(item);
      items.set(row.path, item);
    }
    this.#rows = rows;
    this.#items = items;
    const nodes = [...items.values()];
    if (nodes.length !== this.element.children.length || nodes.some((node, i) => node !== this.element.children[i])) {
      const focused = this.element.contains(document.activeElement);
      this.element.replaceChildren(...nodes);
      if (focused) (items.get(this.#current) ?? nodes[0])?.focus();
    }
    if (!items.has(this.#current)) this.#current = '/';
    for (const [path, item] of items) item.tabIndex = path === this.#current ? 0 : -1;
  }

  #siblingsSeen(path: string): boolean {
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    return this.#items.get(parent)?.dataset['listed'] === 'true';
  }

  #item(row: Row): HTMLLIElement {
    const item = el(
      'li',
      { role: 'treeitem', 'aria-level': row.level, 'data-path': row.path, style: `--level: ${row.level - 1}`, onclick: () => this.#activate(row) },
      el('span', { class: 'glyph', 'aria-hidden': 'true' }),
      el('code', {}, row.name),
      el('small', {}, row.note),
    );
    item.classList.toggle('folder', row.directory);
    if (row.directory) {
      item.setAttribute('aria-expanded', String(this.#expanded.has(row.path)));
      // Marked once its first listing is drawn; see #siblingsSeen.
      queueMicrotask(() => { if (this.#expanded.has(row.path)) item.dataset['listed'] = 'true'; });
    }
    return item;
  }

  #activate(row: Row): void {
    this.#current = row.path;
    if (row.path.includes('\0')) return;
    if (!row.directory) {
      for (const [path, item] of this.#items) item.setAttribute('aria-selected', String(path === row.path));
      this.#open(row.path);
    } else if (this.#expanded.has(row.path)) {
      this.#expanded.delete(row.path);
      delete this.#items.get(row.path)?.dataset['listed'];
    } else {
      this.#expanded.add(row.path);
    }
    void this.refresh().then(() => {
      const item = this.#items.get(row.path);
      if (item && this.#expanded.has(row.path)) item.dataset['listed'] = 'true';
      item?.focus();
    });
  }

  #key(event: KeyboardEvent): void {
    const at = this.#rows.findIndex((row) => row.path === this.#current);
    const row = this.#rows[at];
    if (!row) return;
    const open = this.#expanded.has(row.path);
    let to = at;
    switch (event.key) {
      case 'ArrowDown': to = at + 1; break;
      case 'ArrowUp': to = at - 1; break;
      case 'Home': to = 0; break;
      case 'End': to = this.#rows.length - 1; break;
      case 'ArrowRight':
        if (row.directory && !open) this.#activate(row);
        else if (row.directory) to = at + 1;
        break;
      case 'ArrowLeft':
        if (row.directory && open) this.#activate(row);
        else to = this.#rows.findLastIndex((other, i) => i < at && other.level < row.level);
        break;
      case 'Enter':
      case ' ':
        this.#activate(row);
        break;
      default:
        return;
    }
    event.preventDefault();
    const next = this.#rows[to];
    if (!next || to === at) return;
    this.#current = next.path;
    for (const [path, item] of this.#items) item.tabIndex = path === next.path ? 0 : -1;
    this.#items.get(next.path)?.focus();
  }
}

function flash(item: HTMLElement): void {
  item.classList.remove('changed');
  // Reading a layout property between the two makes the animation start over.
  void item.offsetWidth;
  item.classList.add('changed');
}
