/** @file A look into the header of a TIFF file, at a fact that libvips does not tell. */

const LITTLE_ENDIAN = 0x4949;
const PHOTOMETRIC = 262;
const COMPRESSION = 259;
const YCBCR = 6;
/** These are converted by the decoder of JPEG. */
const JPEG_COMPRESSIONS: ReadonlySet<number | undefined> = new Set([6, 7]);

/** Are the pixels luminance and colour differences that a decoder hands out as they are? */
export function hasPlainYCbCr(bytes: Uint8Array): boolean {
  try {
    const tags = shortTags(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return tags.get(PHOTOMETRIC) === YCBCR && !JPEG_COMPRESSIONS.has(tags.get(COMPRESSION));
  } catch (error) {
    // A file that ends too early: its decoder says so.
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The first 16 bits of each value in the first directory. */
function shortTags(view: DataView): ReadonlyMap<number, number> {
  const littleEndian = view.getUint16(0) === LITTLE_ENDIAN;
  const directory = view.getUint32(4, littleEndian);
  const count = view.getUint16(directory, littleEndian);
  return new Map(
    Array.from({ length: count }, (_, i) => {
      const entry = directory + 2 + 12 * i;
      return [view.getUint16(entry, littleEndian), view.getUint16(entry + 8, littleEndian)] as const;
    }),
  );
}
