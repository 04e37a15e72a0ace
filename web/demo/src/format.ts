/** Quantities as the page writes them. */

/** Bytes in binary units, three significant digits: `312 B`, `1.50 MiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : significant(value)} ${units[unit]}`;
}

/** A duration in milliseconds, three significant digits: `0.213 ms`, `31.4 ms`, `2.05 s`. */
export function duration(ms: number): string {
  if (ms >= 60_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
  if (ms >= 1000) return `${significant(ms / 1000)} s`;
  return `${significant(ms)} ms`;
}

/** A count with thousands separated. */
export function count(value: number): string {
  return new Intl.NumberFormat('en').format(value);
}

function significant(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}
