/** @file Zip archives as they are beyond 4 GiB, small. */
import { joinBytes } from './torch-writer.ts';

/** The same archive with all sizes and places in 64-bit extensions, and a 64-bit record at its end. */
export function withWideRecords(archive: Uint8Array): Uint8Array {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const end = archive.length - 22;
  const [count, begin] = [view.getUint16(end + 10, true), view.getUint32(end + 16, true)];
  const entries: Uint8Array[] = [];
  for (let at = begin; at < end; ) {
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const next = nameEnd + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    entries.push(wideEntry(archive.slice(at, nameEnd)));
    at = next;
  }
  const directory = joinBytes(...entries);
  const record = numbers(56, (to) => {
    to.setUint32(0, 0x06064b50, true);
    to.setBigUint64(4, 44n, true);
    to.setBigUint64(24, BigInt(count), true);
    to.setBigUint64(32, BigInt(count), true);
    to.setBigUint64(40, BigInt(directory.length), true);
    to.setBigUint64(48, BigInt(begin), true);
  });
  const locator = numbers(20, (to) => {
    to.setUint32(0, 0x07064b50, true);
    to.setBigUint64(8, BigInt(begin + directory.length), true);
    to.setUint32(16, 1, true);
  });
  const last = numbers(22, (to) => {
    to.setUint32(0, 0x06054b50, true);
    to.setUint32(8, 0xffffffff, true);
    to.setUint32(12, 0xffffffff, true);
    to.setUint32(16, 0xffffffff, true);
  });
  return joinBytes(archive.subarray(0, begin), directory, record, locator, last);
}

/** @param entry - of the directory, up to its name */
function wideEntry(entry: Uint8Array): Uint8Array {
  const view = new DataView(entry.buffer);
  const sizes = [24, 20, 42].map((at) => {
    const value = BigInt(view.getUint32(at, true));
    view.setUint32(at, 0xffffffff, true);
    return value;
  });
  view.setUint16(30, 28, true);
  view.setUint16(32, 0, true);
  const extension = numbers(28, (to) => {
    to.setUint16(0, 1, true);
    to.setUint16(2, 24, true);
    sizes.forEach((size, i) => {
      to.setBigUint64(4 + 8 * i, size, true);
    });
  });
  return joinBytes(entry, extension);
}

function numbers(length: number, write: (to: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}
