/** Says what went wrong in words for people: errors of the package by their code, ends of agents by their reason. */
import { CapfsError, type Exit } from 'capfs';

/** A failure to show: what happened, the details, and what can be done. */
export interface Failure {
  readonly title: string;
  readonly detail: string;
  readonly hint?: string;
}

const BY_CODE: Readonly<Record<string, { title: string; hint?: string }>> = {
  MODULE_INVALID: {
    title: 'This is not a WebAssembly module',
    hint: 'The file may be cut short, or may be something else under the name .wasm. Load or build it again.',
  },
  MODULE_COMPONENT: {
    title: 'This is a component',
    hint: 'Agents are WASI preview 1 modules. With Rust, build for wasm32-wasip1 instead of wasm32-wasip2.',
  },
  MODULE_IMPORTS: {
    title: 'The module imports functions that nobody has here',
    hint: 'An agent may import WASI preview 1 (or wasi_unstable) only. Modules made for a JavaScript page bring imports of their own.',
  },
  MODULE_NO_START: {
    title: 'The module has no _start',
    hint: 'That makes it a library (a reactor) rather than a command. Build it with a main function.',
  },
  MODULE_START_TYPE: {
    title: 'The module’s _start takes or returns values',
    hint: 'A program’s _start has neither: its arguments and its exit code go through calls.',
  },
  MODULE_MEMORY: {
    title: 'The module has a memory that can’t be used here',
    hint: 'Build it for wasm32-wasip1: neither for 64-bit addresses nor for threads.',
  },
  MODULE_NO_MEMORY: {
    title: 'The module exports no memory',
    hint: 'A WASI program exports its memory under the name “memory”; compilers do that unless told otherwise.',
  },
  MEMORY_LIMIT: {
    title: 'The program needs more memory than it may have',
    hint: 'Give it more under Limits.',
  },
  FETCH_FAILED: {
    title: 'A file of the program could not be loaded',
    hint: 'The server may be gone, or may lack the file. Run again asks once more.',
  },
  ABORTED: { title: 'It was ended before it had begun' },
  OPTION_INVALID: { title: 'It can’t be started like that' },
  GRANT_INVALID: { title: 'A capability can’t be granted like that' },
  STORAGE_UNAVAILABLE: {
    title: 'This browser keeps no files for this page',
    hint: 'They need a page from https or localhost, and a browser with a private file system. Take opfs away, or choose another browser.',
  },
  STORAGE_BUSY: {
    title: 'Its stored files are another program’s at the moment',
    hint: 'One program at a time has them, in all tabs. Run again when the other has ended, or grant opfs by another name.',
  },
  STORAGE_DAMAGED: {
    title: 'Its stored files are damaged',
    hint: 'Granted with repair, opfs keeps what can be read of them.',
  },
  ARCHIVE_INVALID: { title: 'The archive can’t be read' },
  VARIANT_UNAVAILABLE: {
    title: 'This browser can’t do that',
    hint: 'Choose another variant of the system calls, or leave the choice to the page.',
  },
};

/** Explains why something could not be done. */
export function explain(error: unknown): Failure {
  if (error instanceof CapfsError) {
    const known = BY_CODE[error.code];
    const failure = { title: known?.title ?? `It failed (${error.code})`, detail: error.message };
    return known?.hint ? { ...failure, hint: known.hint } : failure;
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { title: 'It could not be started', detail };
}

/** Explains an end that wasn't the program's own choice; `null` when it was, whatever its exit code. */
export function explainExit(exit: Exit): Failure | null {
  const detail = exit.message ?? `exit code ${exit.code}`;
  switch (exit.reason) {
    case 'exit':
    case 'killed':
      return null;
    case 'signal':
      return { title: 'The program ended itself by a signal', detail };
    case 'trap':
      return { title: 'The program trapped', detail, hint: 'A trap is the machine’s way to refuse: bad access, unreachable code, division by zero.' };
    case 'memory':
      return { title: 'The program ran out of memory', detail, hint: 'Give it more under Limits, or less to do.' };
    case 'timeout':
      return { title: 'The program’s time was up', detail, hint: 'Give it more under Limits.' };
    case 'host':
      return { title: 'The kernel stopped', detail, hint: 'This is a mistake of capfs, not of the program. Please report it.' };
  }
}

/** An end in a few words, for the bar above a terminal. */
export function exitLabel(exit: Exit): string {
  switch (exit.reason) {
    case 'exit':
      return `exited ${exit.code}`;
    case 'killed':
      return `killed (${exit.code})`;
    case 'signal':
      return `ended by a signal (${exit.code})`;
    case 'trap':
      return `trapped (${exit.code})`;
    case 'memory':
      return `out of memory (${exit.code})`;
    case 'timeout':
      return `timed out (${exit.code})`;
    case 'host':
      return `kernel failed (${exit.code})`;
  }
}
