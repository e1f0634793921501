/**
 * @file Event files for TensorBoard: scalars and PNG images.
 * Messages: tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto. Around each stands the TFRecord
 * framing (length, its checksum, content, its checksum) of tensorflow/core/lib/io/record_writer.h.
 */
import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DataError } from '../../../core/errors.ts';
import { AppendFile } from '../../../host/files/append-file-node.ts';

export interface TensorBoardOptions {
  /** The last step whose events stay, when a run is resumed; TensorBoard drops the later ones of earlier files. */
  readonly resumedAfterStep?: number;
  /** Seconds since 1970; the system clock by default. */
  readonly clockSeconds?: () => number;
}

const FILE_NAME = /^events\.out\.tfevents\.(\d+)\./;

/** Field numbers of the messages written here. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const SUMMARY = { value: 1 };
const VALUE = { tag: 1, simpleValue: 2, image: 4 };
const IMAGE = { height: 1, width: 2, colorspace: 3, encodedImageString: 4 };
const SESSION_LOG = { status: 1 };

const SESSION_START = 1;

/** One event file in the folder of a run. */
export class TensorBoardLog {
  readonly #file: AppendFile;
  readonly #clockSeconds: () => number;

  /** Starts a new event file in a folder that is there; files of earlier sessions stay beside it. */
  constructor(
    folder: string,
    { resumedAfterStep, clockSeconds = () => Date.now() / 1000 }: TensorBoardOptions = {},
  ) {
    this.#clockSeconds = clockSeconds;
    this.#file = new AppendFile(join(folder, nextFileName(folder, clockSeconds())));
    try {
      this.#writeEvent(0, (event) =>
        event.tag(EVENT.fileVersion, WireType.LengthDelimited).string('brain.Event:2'),
      );
      if (resumedAfterStep !== undefined) this.#writeSessionStart(resumedAfterStep + 1);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Adds one point to each of the curves named by `values`. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    this.#writeSummary(step, (summary) => {
      for (const [tag, value] of Object.entries(values)) {
        summary.tag(SUMMARY.value, WireType.LengthDelimited).fork();
        summary.tag(VALUE.tag, WireType.LengthDelimited).string(tag);
        summary.tag(VALUE.simpleValue, WireType.Bit32).float(value);
        summary.join();
      }
    });
  }

  /** Adds a picture, given as a PNG file. */
  image(step: number, tag: string, png: Uint8Array): void {
    const { width, height, channels } = readPngHeader(png, tag);
    this.#writeSummary(step, (summary) => {
      summary.tag(SUMMARY.value, WireType.LengthDelimited).fork();
      summary.tag(VALUE.tag, WireType.LengthDelimited).string(tag);
      summary.tag(VALUE.image, WireType.LengthDelimited).fork();
      summary.tag(IMAGE.height, WireType.Varint).int32(height);
      summary.tag(IMAGE.width, WireType.Varint).int32(width);
      summary.tag(IMAGE.colorspace, WireType.Varint).int32(channels);
      summary.tag(IMAGE.encodedImageString, WireType.LengthDelimited).bytes(png);
      summary.join().join();
    });
  }

  close(): void {
    this.#file.close();
  }

  /** TensorBoard takes this as: everything from `step` on in earlier files is void. */
  #writeSessionStart(step: number): void {
    this.#writeEvent(step, (event) => {
      event.tag(EVENT.sessionLog, WireType.LengthDelimited).fork();
      event.tag(SESSION_LOG.status, WireType.Varint).int32(SESSION_START);
      event.join();
    });
  }

  #writeSummary(step: number, writeValues: (summary: BinaryWriter) => void): void {
    this.#writeEvent(step, (event) => {
      event.tag(EVENT.summary, WireType.LengthDelimited).fork();
      writeValues(event);
      event.join();
    });
  }

  #writeEvent(step: number, writeContent: (event: BinaryWriter) => void): void {
    const event = new BinaryWriter();
    event.tag(EVENT.wallTime, WireType.Bit64).double(this.#clockSeconds());
    event.tag(EVENT.step, WireType.Varint).int64(step);
    writeContent(event);
    this.#file.append(frameRecord(event.finish()));
  }
}

/** TensorBoard reads the files of a folder in the order of their names, so each must come after those before it. */
function nextFileName(folder: string, nowSeconds: number): string {
  const taken = readdirSync(folder).map((name) => Number(FILE_NAME.exec(name)?.[1] ?? 0));
  const seconds = Math.max(Math.floor(nowSeconds), ...taken.map((second) => second + 1));
  return `events.out.tfevents.${String(seconds).padStart(10, '0')}.${hostname()}.${process.pid}`;
}

/** Channels by PNG colour type; a palette (3) is expanded to RGB by the viewer. */
const PNG_CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Sizes from the IHDR chunk, which always comes first: length, `IHDR`, width, height, bit depth, colour type. */
function readPngHeader(png: Uint8Array, tag: string): { width: number; height: number; channels: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const channels = png.length > 25 ? PNG_CHANNELS[view.getUint8(25)] : undefined;
  if (channels === undefined || PNG_SIGNATURE.some((byte, i) => png[i] !== byte)) {
    throw new DataError({
      where: `TensorBoard image ${tag}`,
      problem: 'the picture is not a PNG file',
      fix: 'encode it as PNG',
    });
  }
  return { width: view.getUint32(16), height: view.getUint32(20), channels };
}

/** A TFRecord as it lies in the file. */
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
