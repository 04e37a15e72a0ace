/**
 * What the package throws. `code` is stable: an errno's name for files, such as `ENOENT`, or one of
 * `MODULE_INVALID`, `MODULE_COMPONENT`, `MODULE_IMPORTS`, `MODULE_NO_START`, `MODULE_NO_MEMORY`, `MEMORY_LIMIT`,
 * `FETCH_FAILED`, `ARCHIVE_INVALID`, `GRANT_INVALID`, `STORAGE_UNAVAILABLE`, `VARIANT_UNAVAILABLE`, `CLOSED`, `HOST`.
 */
export class CapfsError extends Error {
  override readonly name = 'CapfsError';

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An error that the kernel named by an errno, or described in a sentence. */
export function kernelError(error: unknown, context: string): CapfsError {
  const text = typeof error === 'string' ? error : error instanceof Error ? error.message : String(error);
  const code = /^E[A-Z0-9]+$/.test(text) ? text : 'HOST';
  return new CapfsError(code, `${context}: ${text}`);
}
