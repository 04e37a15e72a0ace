/**
 * Trusted Types: on a page whose policy asks for them (`require-trusted-types-for 'script'`) the package makes its worker, and parses agents'
 * markup where nothing runs, by a policy called `capfs`, which the page's `trusted-types` must name.
 */
interface Policy {
  createHTML(markup: string): unknown;
  createScriptURL(address: string): unknown;
}
interface PolicyFactory {
  createPolicy(name: string, rules: { createHTML(markup: string): string; createScriptURL(address: string): string }): Policy;
}

/** Not looked for yet; `null` where there is none, or the page lets none be made. */
let policy: Policy | null | undefined;

function own(): Policy | null {
  if (policy !== undefined) return policy;
  const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
  const same = (text: string) => text;
  try {
    policy = factory?.createPolicy('capfs', { createHTML: same, createScriptURL: same }) ?? null;
  } catch {
    // Whether that matters is seen where it is needed.
    policy = null;
  }
  return policy;
}

/** Markup of an agent, to be parsed in a document of its own in which nothing loads or runs. */
export const trustedMarkup = (markup: string): unknown => own()?.createHTML(markup) ?? markup;

/** The address of the package's own worker. */
export const trustedWorker = (address: string): unknown => own()?.createScriptURL(address) ?? address;
