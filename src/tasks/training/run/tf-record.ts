/** @file The TFRecord framing of TensorFlow: length, its checksum, content, its checksum. tensorflow/core/lib/io/record_writer.h */

/** One record as it lies in the file. */
export function frameRecord(content: Uint8Array): Uint8Array {
  const lengthBytes = 8;
  const checksumBytes = 4;
  const record = new Uint8Array(lengthBytes + checksumBytes + content.length + checksumBytes);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(content.length), true);
  view.setUint32(lengthBytes, maskedCrc32c(record.subarray(0, lengthBytes)), true);
  record.set(content, lengthBytes + checksumBytes);
  view.setUint32(record.length - checksumBytes, maskedCrc32c(content), true);
  return record;
}

/** Rotated and offset, so that the checksum of data that itself contains checksums stays meaningful. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const REVERSED_POLYNOMIAL = 0x82f63b78;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ REVERSED_POLYNOMIAL : crc >>> 1;
  return crc;
});
