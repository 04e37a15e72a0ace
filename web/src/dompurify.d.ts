/** DOMPurify, which `web/vendor.mjs` puts beside the package's own files: as much of it as is used. */
interface Purify {
  sanitize(markup: string, options: { ALLOWED_TAGS: string[]; ALLOWED_ATTR: string[]; ALLOW_ARIA_ATTR: boolean; ALLOW_DATA_ATTR: boolean }): string;
}
export default function createPurify(window: Window): Purify;
