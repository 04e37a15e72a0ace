/**
 * Trusted Types: on a page whose policy asks for them (`require-trusted-types-for 'script'`) the package needs a policy called `capfs`, which the page's
 * `trusted-types` must allow: for the address of its worker, and to parse agents' markup in a document in which nothing runs.
 */
interface Policy {
  createHTML(markup: string): unknown;
  createScriptURL(address: string): unknown;
}
interface PolicyFactory {
  createPolicy(name: string, rules: { createHTML(markup: string): string; createScriptURL(address: string): string }): Policy;
}

/** Undefined until first asked for; `null` where the browser has no Trusted Types, or the page doesn't allow this policy. */
let policy: Policy | null | undefined;

function own(): Policy | null {
  if (policy !== undefined) return policy;
  const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
  const same = (text: string) => text;
  try {
    policy = factory?.createPolicy('capfs', { createHTML: same, createScriptURL: same }) ?? null;
  } catch {
    // If the page enforces Trusted Types, the assignment that needs the policy will fail and say so.
    policy = null;
  }
  return policy;
}

/** Markup of an agent, to be parsed in a document of its own in which nothing loads or runs. */
export const trustedMarkup = (markup: string): unknown => own()?.createHTML(markup) ?? markup;

/** The address of the package's own worker. */
export const trustedWorker = (address: string): unknown => own()?.createScriptURL(address) ?? address;
