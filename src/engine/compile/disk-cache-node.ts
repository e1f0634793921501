/**
 * @file Compiled models on disk, an entry a folder. An entry is built under a temporary name and renamed when it is
 * whole, so nobody ever sees a part of one, and programs that build the same entry at once do not disturb each other.
 * All bytes of an entry are compared with their checksums before it is used: a power cut may leave zeros in their place.
 * Everything here may be deleted at any time.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { crc32OfFile } from '../../host/files/digest-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { readJson } from '../../host/files/read-json-node.ts';
import { writeFully } from '../../host/files/transfer-node.ts';
import { isDiskFull, systemErrorCode } from '../../host/files/write-error-node.ts';
import type { ModelFile } from '../runtime/session.ts';
import { type CompileCache, ENTRY_FILE, type EntryFolder, UnkeptError } from './cache.ts';

export interface DiskCacheOptions {
  readonly folder: string;
  /** Where entries take more than this, those not used for longest go; the newest stays, whatever its size. */
  readonly maxBytes: number;
  readonly onUnkept?: CompileCache['onUnkept'];
  /** Told that a model was found damaged: it is no model any more. */
  readonly onDamaged?: (() => void) | undefined;
}

const CACHE_OPTIONS: OptionTable<DiskCacheOptions> = {
  folder: 'needed',
  maxBytes: 'needed',
  onUnkept: 'optional',
  onDamaged: 'optional',
};

/** The length and checksum of every other file of the entry; its time is that of the last use. */
const SEAL_FILE = 'seal.json';
const BUILDING = '.building-';
/** Even the largest model is built in minutes: what is older belongs to a program that has died. */
const ABANDONED_AFTER_MS = 3_600_000;

export class DiskCache implements CompileCache {
  private readonly folder: string;
  readonly maxBytes: number;
  private readonly machine = processorIdentity();
  readonly onUnkept: CompileCache['onUnkept'];
  private readonly onDamaged: DiskCacheOptions['onDamaged'];

  /** @throws ConfigError for an option that does not exist or is missing */
  constructor(options: DiskCacheOptions) {
    expectOptions(options, 'DiskCache', CACHE_OPTIONS);
    const { folder, maxBytes, onUnkept, onDamaged } = options;
    this.folder = folder;
    this.maxBytes = maxBytes;
    this.onUnkept = onUnkept;
    this.onDamaged = onDamaged;
  }

  async find(key: string): Promise<ModelFile | undefined> {
    const entry = this.entryPath(key);
    const seal = await sealOf(entry);
    if (seal === undefined) return undefined;
    if (!(await isIntact(entry, seal))) {
      this.onDamaged?.();
      return undefined;
    }
    const now = new Date();
    // Another program may have evicted it meanwhile, or own it: it can be used all the same, or is found missing later.
    await utimes(join(entry, SEAL_FILE), now, now).catch(() => undefined);
    return modelIn(entry);
  }

  async keep(key: string, build: (folder: EntryFolder) => Promise<void>): Promise<ModelFile> {
    const building = join(this.folder, BUILDING + randomUUID());
    const entry = this.entryPath(key);
    try {
      await makeFolder(building, { fix: 'name a writable folder in UDIT_CACHE' });
    } catch (error) {
      throw new UnkeptError(error);
    }
    try {
      await build(entryFolder(building));
      await sealFiles(building);
      await this.publish(building, entry);
    } catch (error) {
      throw isForWantOfDisk(error) ? new UnkeptError(error) : error;
    } finally {
      await rm(building, { recursive: true, force: true });
    }
    await this.evict(entry);
    return modelIn(entry);
  }

  async remove(key: string): Promise<void> {
    try {
      await rm(this.entryPath(key), { recursive: true, force: true });
    } catch (error) {
      throw isForWantOfDisk(error) ? new UnkeptError(error) : error;
    }
  }

  private entryPath(key: string): string {
    const name = createHash('sha256').update(key).update(this.machine).digest('hex').slice(0, 32);
    return join(this.folder, name);
  }

  /** Another program may have been faster: then its entry stays, unless it is damaged. */
  private async publish(building: string, entry: string): Promise<void> {
    try {
      await rename(building, entry);
    } catch {
      const seal = await sealOf(entry);
      if (seal !== undefined && (await isIntact(entry, seal))) return;
      await rm(entry, { recursive: true, force: true });
      await rename(building, entry);
    }
  }

  /** Removes what was left half-built, entries without a seal (of earlier versions), and those beyond the limit. */
  private async evict(newest: string): Promise<void> {
    const entries: { readonly path: string; readonly bytes: number; readonly lastUse: number }[] = [];
    for (const name of await readdir(this.folder)) {
      const path = join(this.folder, name);
      if (name.startsWith(BUILDING)) await removeIfAbandoned(path);
      else if (path !== newest) {
        const usage = await usageOf(path);
        if (usage === undefined) await rm(path, { recursive: true, force: true });
        else entries.push({ path, ...usage });
      }
    }
    let total = (await usageOf(newest))?.bytes ?? 0;
    for (const { path, bytes } of entries.sort((a, b) => b.lastUse - a.lastUse)) {
      if (total + bytes <= this.maxBytes) total += bytes;
      else await rm(path, { recursive: true, force: true });
    }
  }
}

/** How the system and, in words alone, ONNX Runtime say that a disk is full or may not be written. */
const UNWRITABLE_CODES: ReadonlySet<string | undefined> = new Set(['EROFS', 'EACCES', 'EPERM']);
const UNWRITABLE_WORDS = /no space left on device|disk quota exceeded|read-only file system/i;

function isForWantOfDisk(error: unknown): boolean {
  const code = systemErrorCode(error);
  return isDiskFull(code) || UNWRITABLE_CODES.has(code) || UNWRITABLE_WORDS.test(String(error));
}

const modelIn = (entry: string): ModelFile => ({ path: join(entry, ENTRY_FILE), isOptimised: true });

function entryFolder(folder: string): EntryFolder {
  const path = (name: string) => join(folder, name);
  return {
    path,
    remove: (name) => rm(path(name)),
    async create(name, byteLength) {
      const file = await open(path(name), 'w');
      await file.truncate(byteLength).catch(async (error) => {
        await file.close();
        throw error;
      });
      return { write: (bytes, offset) => writeFully(file, bytes, offset), close: () => file.close() };
    },
  };
}

interface SealedFile {
  readonly byteLength: number;
  readonly crc32: number;
}

/** Of each file by its name. */
type Seal = Readonly<Record<string, SealedFile>>;

/** Brings an entry safely to the disk and notes what its files hold. */
async function sealFiles(folder: string): Promise<void> {
  const seal: Record<string, SealedFile> = {};
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    seal[name] = await crc32OfFile(path);
    const file = await open(path, 'r+');
    await file.sync().finally(() => file.close());
  }
  await writeFile(join(folder, SEAL_FILE), JSON.stringify(seal), { flush: true });
}

/** Undefined where no entry is, or one of an earlier version. */
async function sealOf(entry: string): Promise<Seal | undefined> {
  return (await readJson(join(entry, SEAL_FILE)).catch(() => undefined)) as Seal | undefined;
}

async function isIntact(entry: string, seal: Seal): Promise<boolean> {
  if (seal[ENTRY_FILE] === undefined) return false;
  for (const [name, { byteLength, crc32 }] of Object.entries(seal)) {
    const path = join(entry, name);
    const info = await stat(path).catch(() => undefined);
    if (info?.size !== byteLength) return false;
    const found = await crc32OfFile(path).catch(() => undefined);
    if (found?.byteLength !== byteLength || found.crc32 !== crc32) return false;
  }
  return true;
}

async function usageOf(entry: string): Promise<{ bytes: number; lastUse: number } | undefined> {
  const seal = await sealOf(entry);
  if (seal === undefined) return undefined;
  const info = await stat(join(entry, SEAL_FILE)).catch(() => undefined);
  const bytes = Object.values(seal).reduce((sum, { byteLength }) => sum + byteLength, 0);
  return { bytes, lastUse: info?.mtimeMs ?? 0 };
}

async function removeIfAbandoned(folder: string): Promise<void> {
  const info = await stat(folder).catch(() => undefined);
  if (info === undefined || Date.now() - info.mtimeMs < ABANDONED_AFTER_MS) return;
  await rm(folder, { recursive: true, force: true });
}

/** Models are optimised for the processor, and a home directory may be shared by several. */
function processorIdentity(): string {
  return [process.platform, process.arch, cpus()[0]?.model, processorFlags()].join('\n');
}

/** A processor's name may be as vague as that of its maker; what it can do is told by Linux only. */
function processorFlags(): string {
  try {
    return /^flags.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '';
  } catch {
    return '';
  }
}
