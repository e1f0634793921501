/** @file The CRC-32 of zip archives, sixteen bytes at a time ("slicing"; Kounavis and Berry, 2005). */

/** Bytes per step, which are read as words. */
const SLICES = 16;
const WORD_BYTES = 4;
const POLYNOMIAL = 0xedb88320;

let tables: Int32Array | undefined;

/** `tables[256·k + b]`: what byte b does to the checksum when k further bytes follow in the same step. */
function slicingTables(): Int32Array {
  if (tables !== undefined) return tables;
  tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const crc = tables[i - 256]!;
    tables[i] = tables[crc & 0xff]! ^ (crc >>> 8);
  }
  return tables;
}

/** @param previous - the checksum of what comes before, to go on from */
export function crc32(bytes: Uint8Array, previous = 0): number {
  const aligned = Math.min(-bytes.byteOffset & (WORD_BYTES - 1), bytes.length);
  const steps = Math.floor((bytes.length - aligned) / SLICES);
  const crc = byWords(bytes, aligned, steps, byBytes(bytes, 0, aligned, ~previous));
  return ~byBytes(bytes, aligned + steps * SLICES, bytes.length, crc) >>> 0;
}

function byBytes(bytes: Uint8Array, begin: number, end: number, start: number): number {
  const t = slicingTables();
  let crc = start;
  for (let i = begin; i < end; i++) crc = t[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return crc;
}

function byWords({ buffer, byteOffset }: Uint8Array, begin: number, steps: number, start: number): number {
  if (steps === 0) return start; // `begin` need not be aligned then
  const t = slicingTables();
  const words = new Int32Array(buffer, byteOffset + begin, (steps * SLICES) / WORD_BYTES);
  let crc = start;
  for (let i = 0; i < words.length; i += SLICES / WORD_BYTES) {
    const a = crc ^ words[i]!;
    const b = words[i + 1]!;
    const c = words[i + 2]!;
    const d = words[i + 3]!;
    // Written out: in a loop over the bytes it takes three times as long.
    crc =
      t[0xf00 + (a & 0xff)]! ^
      t[0xe00 + ((a >>> 8) & 0xff)]! ^
      t[0xd00 + ((a >>> 16) & 0xff)]! ^
      t[0xc00 + (a >>> 24)]! ^
      t[0xb00 + (b & 0xff)]! ^
      t[0xa00 + ((b >>> 8) & 0xff)]! ^
      t[0x900 + ((b >>> 16) & 0xff)]! ^
      t[0x800 + (b >>> 24)]! ^
      t[0x700 + (c & 0xff)]! ^
      t[0x600 + ((c >>> 8) & 0xff)]! ^
      t[0x500 + ((c >>> 16) & 0xff)]! ^
      t[0x400 + (c >>> 24)]! ^
      t[0x300 + (d & 0xff)]! ^
      t[0x200 + ((d >>> 8) & 0xff)]! ^
      t[0x100 + ((d >>> 16) & 0xff)]! ^
      t[d >>> 24]!;
  }
  return crc;
}
