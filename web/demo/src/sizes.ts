/** How large the larger files of the page are. A server that compresses them for the way doesn't say. */

/** Bytes by the address of a file relative to the page. */
let sizes: Readonly<Record<string, number>> = {};

/** Bytes of the file at an address, if it is one of the page's own and known. */
export function sizeOf(address: string): number | undefined {
  return sizes[address.replace(new URL('.', document.baseURI).href, '')];
}

void fetch('sizes.json')
  .then(async (response) => {
    if (response.ok) sizes = (await response.json()) as typeof sizes;
  })
  .catch(() => undefined);
