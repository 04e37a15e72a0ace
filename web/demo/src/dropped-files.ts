/** Reads files and whole folders that were dropped on the page or chosen in a dialog. */

/** Files by their path relative to what was dropped. */
export type Files = Record<string, Uint8Array>;

/** Reads everything that a drop carries, folders with all that is below them. */
export async function droppedFiles(data: DataTransfer): Promise<Files> {
  // The entries must be taken before the first await: the list is empty once the event handler has returned.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files: Files = {};
  if (entries.length === 0) return chosenFiles(data.files);
  for (const entry of entries) await collect(entry, files);
  return files;
}

/** Reads the files of an `<input type=file>`, with their folders where a folder was chosen. */
export async function chosenFiles(list: FileList | null): Promise<Files> {
  const files: Files = {};
  for (const file of list ?? []) files[file.webkitRelativePath || file.name] = await content(file);
  return files;
}

async function collect(entry: FileSystemEntry, files: Files): Promise<void> {
  const path = entry.fullPath.replace(/^\/+/, '');
  if (entry.isFile) {
    const file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
    files[path] = await content(file);
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A reader hands out its entries in batches; an empty one is the end.
    const batch = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (batch.length === 0) return;
    for (const child of batch) await collect(child, files);
  }
}

async function content(file: File): Promise<Uint8Array> {
  return new Uint8Array(await file.arrayBuffer());
}
