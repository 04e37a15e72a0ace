/** The stub, which `web/inline.mjs` puts into the package's code: a WebAssembly module in base64. */
export const stub: string;
