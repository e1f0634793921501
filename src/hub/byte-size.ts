/** @file Sizes of files for people, in decimal units as download pages show them. */

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
