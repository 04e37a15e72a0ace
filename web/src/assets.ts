/**
 * The addresses of the package's files. This module is at the top, beside the entries, because the addresses are relative to it, in Node, and in browsers to the
 * bundle that it is part of: both are at the top of `dist/`.
 */
import { CapfsError, shownAddress } from './both/errors.js';
import type { Variant } from './both/types.js';

/** The folder that a page names for the package's files. */
export function assetsFolder(assets: string | URL): URL {
  // A document may have no address of its own (`srcdoc`), or another one for what is relative (`base`).
  const page = typeof document === 'object' ? document.baseURI : typeof location === 'object' ? location.href : undefined;
  const here = page ?? import.meta.url;
  try {
    return new URL(String(assets).replace(/\/?$/, '/'), here);
  } catch {
    throw new CapfsError('FETCH_FAILED', `${shownAddress(String(assets))} is no address of a folder`);
  }
}

/** The addresses of kernel and adapter. They are literals, so that bundlers find the files. */
export function assetUrls({ memory }: Variant, full: boolean, assets: URL | undefined): URL[] {
  if (assets) return [full ? 'kernel-full.wasm' : 'kernel.wasm', `adapter-${memory}.wasm`].map((name) => new URL(name, assets));
  const adapter =
    memory === 'multi' ? new URL('./adapter-multi.wasm', import.meta.url) : new URL('./adapter-single.wasm', import.meta.url);
  const kernel = full ? new URL('./kernel-full.wasm', import.meta.url) : new URL('./kernel.wasm', import.meta.url);
  return [kernel, adapter];
}
