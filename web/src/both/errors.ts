/** What the package throws. */

/** The names of WASI's errnos, as files and devices fail with them. */
const ERRNOS = [
  'E2BIG', 'EACCES', 'EADDRINUSE', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EAGAIN', 'EALREADY', 'EBADF', 'EBADMSG', 'EBUSY',
  'ECANCELED', 'ECHILD', 'ECONNABORTED', 'ECONNREFUSED', 'ECONNRESET', 'EDEADLK', 'EDESTADDRREQ', 'EDOM', 'EDQUOT', 'EEXIST',
  'EFAULT', 'EFBIG', 'EHOSTUNREACH', 'EIDRM', 'EILSEQ', 'EINPROGRESS', 'EINTR', 'EINVAL', 'EIO', 'EISCONN', 'EISDIR', 'ELOOP',
  'EMFILE', 'EMLINK', 'EMSGSIZE', 'EMULTIHOP', 'ENAMETOOLONG', 'ENETDOWN', 'ENETRESET', 'ENETUNREACH', 'ENFILE', 'ENOBUFS',
  'ENODEV', 'ENOENT', 'ENOEXEC', 'ENOLCK', 'ENOLINK', 'ENOMEM', 'ENOMSG', 'ENOPROTOOPT', 'ENOSPC', 'ENOSYS', 'ENOTCONN',
  'ENOTDIR', 'ENOTEMPTY', 'ENOTRECOVERABLE', 'ENOTSOCK', 'ENOTSUP', 'ENOTTY', 'ENXIO', 'EOVERFLOW', 'EOWNERDEAD', 'EPERM',
  'EPIPE', 'EPROTO', 'EPROTONOSUPPORT', 'EPROTOTYPE', 'ERANGE', 'EROFS', 'ESPIPE', 'ESRCH', 'ESTALE', 'ETIMEDOUT', 'ETXTBSY',
  'EXDEV', 'ENOTCAPABLE',
] as const;

/** The name of an errno. */
export type Errno = (typeof ERRNOS)[number];

/** What went wrong, stable from version to version. */
export type CapfsErrorCode =
  | Errno
  /** It is no WebAssembly module, or the engine refuses it. */
  | 'MODULE_INVALID'
  /** It is a component; agents are preview 1 modules. */
  | 'MODULE_COMPONENT'
  /** It imports what no agent is given; the message lists it. */
  | 'MODULE_IMPORTS'
  /** It has no `_start`. */
  | 'MODULE_NO_START'
  /** Its `_start` takes or returns values. */
  | 'MODULE_START_TYPE'
  /** It exports no memory. */
  | 'MODULE_NO_MEMORY'
  /** It has a memory that calls can't be made with: of 64-bit addresses, shared between threads, of other pages. */
  | 'MODULE_MEMORY'
  /** It needs more memory from the start than it may have. */
  | 'MEMORY_LIMIT'
  /** A program, an archive or a file of the package can't be loaded. */
  | 'FETCH_FAILED'
  /** An archive can't be unpacked or read, or is longer than 1 GiB. */
  | 'ARCHIVE_INVALID'
  /** A grant that its device doesn't know, or can't give. */
  | 'GRANT_INVALID'
  /** An option that there isn't, or a value that it can't have; the message names both. */
  | 'OPTION_INVALID'
  /** There are no stored files here: no private file system, no room in it, or the browser doesn't allow it; or a later version has written them. */
  | 'STORAGE_UNAVAILABLE'
  /** Another agent, on this page or in another tab, has these stored files; the message names them. */
  | 'STORAGE_BUSY'
  /** Stored files are not as they were written; `repair` keeps what can be read of them. */
  | 'STORAGE_DAMAGED'
  /** The engine, or this place in it, lacks what agents need. */
  | 'VARIANT_UNAVAILABLE'
  /** The page's policy (CSP, Trusted Types) forbids it. */
  | 'POLICY_BLOCKED'
  /** The `signal` that was given was aborted; `cause` is its reason. */
  | 'ABORTED'
  /** What it was asked of is closed, has ended, or holds nothing any more. */
  | 'CLOSED'
  /** The host itself failed: a worker, or the kernel in it. */
  | 'HOST';

const KNOWN: ReadonlySet<string> = new Set(ERRNOS);

/** Whether this is the name of an errno. */
export function isErrno(text: string): text is Errno {
  return KNOWN.has(text);
}

export class CapfsError extends Error {
  static {
    // Its own name is shortened in what is published, and Node shows both.
    Object.defineProperty(this, 'name', { value: 'CapfsError' });
  }

  override readonly name = 'CapfsError';

  constructor(
    readonly code: CapfsErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Whether it is an error of any window or frame: `instanceof` knows only those of its own. */
const isError = (thrown: unknown): thrown is Error =>
  thrown instanceof Error || ['[object Error]', '[object DOMException]'].includes(Object.prototype.toString.call(thrown));

/** What was thrown, in words. */
export function messageOf(thrown: unknown): string {
  return isError(thrown) ? String(thrown.message) : String(thrown);
}

/** An address, cut for use in a message: a `data:` URL is as long as its file. */
export const shownAddress = (address: string): string => (address.length > 200 ? `${address.slice(0, 200)}…` : address);

/** How many causes of an error a message names. */
const CAUSES_MAX = 4;

/** What was thrown, in words, with its causes: Node's `fetch` says why it failed only in `cause`. */
function messagesOf(thrown: unknown): string {
  const texts: string[] = [];
  for (let at = thrown; at !== undefined && at !== null && texts.length < CAUSES_MAX; at = isError(at) ? at.cause : undefined) {
    // An error for several attempts (the addresses of a host) has no message of its own.
    const { errors, code } = at as { errors?: unknown; code?: unknown };
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    const text = [at, first].filter((error) => error !== undefined).map(messageOf).find((text) => text !== '') ?? (typeof code === 'string' ? code : '');
    if (text !== '' && !texts.some((known) => known.includes(text))) texts.push(text);
  }
  return texts.join(': ');
}

/** The error for a file that could not be loaded. */
export function unloadable(what: string, error: unknown): CapfsError {
  return new CapfsError('FETCH_FAILED', `${what} can't be loaded: ${messagesOf(error)}${isUnexplained(error) ? UNEXPLAINED : ''}`, { cause: error });
}

/** A browser doesn't tell a page why a request failed, so as not to tell it about other servers. */
const UNEXPLAINED = " (the server can't be reached, or doesn't allow this page's origin by CORS, or the page's policy doesn't allow the server)";

/** A failure of `fetch` in a browser. Node's has a cause. */
const isUnexplained = (error: unknown): boolean => error instanceof TypeError && error.cause === undefined && /fetch|NetworkError|Load failed/i.test(error.message);

/** What to do about an errno, where that isn't obvious. */
const HINTS: Partial<Record<Errno, string>> = {
  EFBIG: 'it is longer than maxBytes, or endless: { maxBytes } allows more (16 MiB unless told, 512 MiB for a regular file)',
};

/** An error that the kernel named by an errno, or described in a sentence. */
export function kernelError(error: unknown, context: string): CapfsError {
  const text = messageOf(error);
  const hint = context.startsWith('read ') && isErrno(text) ? HINTS[text] : undefined;
  const message = `${context}: ${text}${hint === undefined ? '' : `: ${hint}`}`;
  return new CapfsError(isErrno(text) ? text : 'HOST', message, typeof error === 'string' ? undefined : { cause: error });
}

/** The error for something that was aborted. Where the reason is an error of the package, it is that one. */
export function abortError(signal: AbortSignal, what: string): CapfsError {
  const reason: unknown = signal.reason;
  return reason instanceof CapfsError ? reason : new CapfsError('ABORTED', `${what} was aborted`, { cause: reason });
}

/**
 * Reports what a function of the user's has thrown, as the platform does for a listener's: nothing of the agent's may depend on it,
 * and it must not be lost.
 */
export function reportThrown(thrown: unknown): void {
  try {
    if (typeof globalThis.reportError === 'function') return globalThis.reportError(thrown);
  } catch {
    // The page has put something else in its place.
  }
  queueMicrotask(() => {
    throw thrown;
  });
}
