// Parts of the WebAssembly JavaScript interface that TypeScript's library does not have yet:
// https://github.com/WebAssembly/js-promise-integration
declare namespace WebAssembly {
  /** Wraps an import so that its promise suspends the WebAssembly stack. */
  const Suspending: undefined | (new (imported: (...args: never[]) => unknown) => Function);
  /** Wraps an export so that it returns a promise. */
  const promising: undefined | ((exported: Function) => (...args: unknown[]) => Promise<unknown>);
}
