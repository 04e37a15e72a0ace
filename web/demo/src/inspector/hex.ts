/** Bytes as a hex dump, and the question whether they are text. */

/** Decodes bytes as UTF-8; `null` when they aren't text: not UTF-8, or with control characters that text hasn't. */
export function asText(data: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data);
    return /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Rows of offset, bytes and printable characters, `perRow` bytes each. */
export function hexDump(data: Uint8Array, perRow: number): string {
  const rows: string[] = [];
  for (let at = 0; at < data.length; at += perRow) {
    const row = [...data.subarray(at, at + perRow)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const chars = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join('');
    rows.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(perRow * 3 - 1)}  ${chars}`);
  }
  return rows.join('\n');
}
