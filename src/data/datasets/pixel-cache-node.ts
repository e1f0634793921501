/**
 * @file One file that holds prepared pixels and what they were made from.
 *
 * Layout: SHA-256 of all that follows (32 bytes) · length of the manifest (u32, little-endian) · manifest (JSON) · pixels.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';

const DIGEST_BYTES = 32;
const HEADER_BYTES = DIGEST_BYTES + 4;

export interface CachedPixels<Manifest> {
  readonly manifest: Manifest;
  readonly pixels: Uint8Array;
}

/** Reads a cache file; null if it is missing, cut off or altered, so that the caller prepares the pixels again. */
export async function readPixelCache<Manifest>(path: string): Promise<CachedPixels<Manifest> | null> {
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch {
    return null;
  }
  if (file.length < HEADER_BYTES) return null;
  const content = file.subarray(DIGEST_BYTES);
  if (!digestOf([content]).equals(file.subarray(0, DIGEST_BYTES))) return null;
  const pixelStart = HEADER_BYTES + file.readUInt32LE(DIGEST_BYTES);
  return {
    manifest: JSON.parse(file.toString('utf8', HEADER_BYTES, pixelStart)) as Manifest,
    pixels: file.subarray(pixelStart),
  };
}

/** Writes a cache file, whole or not at all; missing folders are made. */
export async function writePixelCache<Manifest>(
  path: string,
  { manifest, pixels }: CachedPixels<Manifest>,
): Promise<void> {
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  const manifestLength = Buffer.alloc(4);
  manifestLength.writeUInt32LE(manifestBytes.length);
  const content = [manifestLength, manifestBytes, pixels];
  await makeFolder(dirname(path), { fix: 'name a writable folder in UDIT_CACHE' });
  await writeFileAtomic(path, [digestOf(content), ...content]);
}

/** A file name part that changes whenever `identity` does. */
export function cacheKey(identity: unknown): string {
  return digestOf([Buffer.from(JSON.stringify(identity))]).toString('hex', 0, 12);
}

function digestOf(parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
