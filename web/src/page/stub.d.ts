/** The stub, a WebAssembly module in base64. `web/inline.mjs` makes this module. */
export const stub: string;
