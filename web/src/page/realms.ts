/**
 * Recognises objects of the platform from any window, frame or context (a test environment has its own), where `instanceof` knows only those of one.
 * They are recognised by their type names, and by the members that are used of them.
 */

const named = (value: unknown, name: string, ...methods: string[]): boolean =>
  Object.prototype.toString.call(value) === `[object ${name}]` && methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');

export const isAddress = (value: unknown): value is URL => named(value, 'URL');

export const isStream = (value: unknown): value is ReadableStream => named(value, 'ReadableStream', 'getReader');

export const isResponse = (value: unknown): value is Response => named(value, 'Response', 'arrayBuffer');

export const isModule = (value: unknown): value is WebAssembly.Module => named(value, 'WebAssembly.Module');

export const isSignal = (value: unknown): value is AbortSignal => named(value, 'AbortSignal', 'addEventListener', 'removeEventListener');
