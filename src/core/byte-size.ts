/** @file Counts and sizes in bytes, as people write and read them. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** `512 bytes`, `4.30 MB`, `236 MB`, `3.67 GB`: three digits. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // What three digits would round to 1000 is 1 of the next unit.
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** Reads a whole number, also written `50k` (thousands), `8Ki` (1024), `2M`, `1Mi`, `4G`, `4Gi`; NaN for all else. */
export function parseCount(text: string): number {
  const [, digits, unit = ''] = /^(\d+)(k|M|G|Ki|Mi|Gi)?$/.exec(text) ?? [];
  const value = digits === undefined ? Number.NaN : Number(digits) * FACTORS[unit]!;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}
