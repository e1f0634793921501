/** @file Values as pickles spell them: in the text of protocols 0 and 1, and integers of any length. */

/** More than any count or hash takes; longer ones cost time without end. */
const MAX_INTEGER_BYTES = 64;
const MAX_INTEGER_DIGITS = 154;

/** Undefined where it is longer than {@link MAX_INTEGER_DIGITS}, or none. Python 2 ends long ones in an L. */
export function decimalInteger(line: string): number | bigint | undefined {
  const digits = /^[+-]?\d+(?=L?$)/.exec(line)?.[0];
  return digits === undefined || digits.length > MAX_INTEGER_DIGITS
    ? undefined
    : narrowed(BigInt(digits.replace('+', '')));
}

/** Two's complement, little-endian. Undefined where it is longer than {@link MAX_INTEGER_BYTES}. */
export function twosComplement(bytes: Uint8Array): number | bigint | undefined {
  if (bytes.length > MAX_INTEGER_BYTES) return undefined;
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return narrowed(BigInt.asIntN(8 * bytes.length, value));
}

function narrowed(integer: bigint): number | bigint {
  return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
}

const UNUSUAL_FLOATS: Readonly<Record<string, number>> = {
  inf: Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
  nan: Number.NaN,
};

/** As `repr` writes floats. Undefined where it is none. */
export function decimalFloat(line: string): number | undefined {
  if (Object.hasOwn(UNUSUAL_FLOATS, line)) return UNUSUAL_FLOATS[line];
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(line) ? Number(line) : undefined;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
};

/** As `repr` of Python 2 writes text. Undefined where the quotes are missing. */
export function quotedText(line: string): string | undefined {
  const quoted = /^(['"])(.*)\1$/s.exec(line)?.[2];
  return quoted?.replace(/\\(x[\da-f]{2}|[0-7]{1,3}|.)/gis, (_, escaped: string) => {
    if (/^x[\da-f]{2}$/i.test(escaped)) return String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    if (/^[0-7]/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped, 8));
    return ESCAPES[escaped] ?? escaped;
  });
}

/** Python's encoding raw-unicode-escape: Latin-1, and other characters by their numbers. */
export function rawUnicodeText(line: string): string {
  return line.replace(/\\u([\da-fA-F]{4})|\\U([\da-fA-F]{8})/g, (written, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long!, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : written;
  });
}
