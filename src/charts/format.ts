/** @file Numbers as people write them. */

/** Thousands of millions: `6.02`; small ones with two digits, as in `0.0035`. */
export function formatGiga(count: number): string {
  const giga = count / 1e9;
  return giga >= 0.095 || giga === 0 ? giga.toFixed(2) : String(Number(giga.toPrecision(2)));
}

/** Millions: `58.9`. */
export function formatMillions(count: number): string {
  return (count / 1e6).toFixed(count < 1e7 ? 2 : 1);
}

/** `12 %`; below one per cent with one digit, as in `0.03 %`. */
export function formatShare(share: number): string {
  const percent = 100 * share;
  return `${percent === 0 || percent >= 1 ? percent.toFixed(0) : Number(percent.toPrecision(1))} %`;
}

/** `1 step`, `2 steps`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
