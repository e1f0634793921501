/** @file Exports as files: they take their place after they have been read back and found to be right. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CheckpointError, NumericsError } from '../../core/errors.ts';
import { chosen, expectOptions, type OptionTable } from '../../core/options.ts';
import { serialiseModel } from '../../engine/onnx/model-writer.ts';
import type { Backend, LoadableModel } from '../../engine/runtime/session.ts';
import { openTensorFile } from '../../formats/file-node.ts';
import { serialiseSafetensors } from '../../formats/safetensors.ts';
import { contentOf, type FileContent, writeFilesAtomic } from '../../host/files/atomic-write-node.ts';
import { cardMetadata, type SavedNetwork } from '../../models/saved-model.ts';
import { type Agreement, CHECK_OPTIONS, type CheckOptions, checkExport } from './export-check.ts';
import {
  EXPORT_OPTIONS,
  type ExportedNetwork,
  exportOnnx,
  exportWeights,
  type OnnxExport,
  type OnnxExportOptions,
  serialiseExport,
} from './onnx-export.ts';

export interface ExportFileOptions extends Omit<OnnxExportOptions, 'dataFile'>, CheckOptions {
  /** Puts the weights into a file of their own, `<path>.data`. Default: if they do not fit into the model. */
  readonly externalData?: boolean | undefined;
}

const FILE_OPTIONS: OptionTable<ExportFileOptions> = {
  ...EXPORT_OPTIONS,
  ...CHECK_OPTIONS,
  externalData: 'optional',
};

export interface WrittenExport {
  readonly exported: OnnxExport;
  readonly agreement: Agreement;
  /** The model, and the file with its weights if there is one. */
  readonly paths: readonly string[];
  /** Of all files. */
  readonly bytes: number;
}

/** Where the weights of a model lie that are not in it. */
export function dataPathOf(path: string): string {
  return `${path}.data`;
}

/** Far enough below the 2 GiB that a model can have. */
const MAX_EMBEDDED_BYTES = 1.5 * 2 ** 30;

/**
 * Writes an ONNX file, loads it again and runs it beside the live model. The folder must exist. An earlier export of the
 * same name is replaced, with the file of its weights.
 *
 *     const { agreement } = await writeOnnxExport('emoji.onnx', saved, { what: 'sampler', backend: cpuBackend });
 *     console.log(agreement.relativeL2);
 *
 * @throws ConfigError if the settings do not fit the model or each other
 * @throws NumericsError, leaving no file, if it does not compute the same
 * @throws DataError if it cannot be written
 */
export async function writeOnnxExport(
  path: string,
  saved: ExportedNetwork,
  options: ExportFileOptions,
): Promise<WrittenExport> {
  const [folder, name] = [dirname(path), basename(path)];
  const dataFile = dataPathOf(name);
  expectOptions(options, 'writeOnnxExport', FILE_OPTIONS);
  const exported = exportOnnx(saved, { ...chosen<OnnxExportOptions>(options, EXPORT_OPTIONS), dataFile });
  const { externalData = exported.model.dataLength > MAX_EMBEDDED_BYTES } = options;
  const files = externalData
    ? filesInParts(name, dataFile, saved, exported, options)
    : new Map([[name, contentOf([await serialiseExport(exported, saved.weights, options.backend)])]]);
  let agreement: Agreement | undefined;
  await writeFilesAtomic(folder, files, async (written) => {
    agreement = await checkFile(join(written, name), saved, exported, options);
  });
  // A former export of that name may have had one, which nothing names any more.
  if (!externalData) await rm(join(folder, dataFile), { force: true });
  return {
    exported,
    agreement: agreement!,
    paths: [...files.keys()].map((file) => join(folder, file)).reverse(),
    bytes: [...files.values()].reduce((bytes, { byteLength }) => bytes + byteLength, 0),
  };
}

/** The model comes last: it names the other one. */
function filesInParts(
  name: string,
  dataFile: string,
  { weights }: ExportedNetwork,
  exported: OnnxExport,
  { backend }: CheckOptions,
): Map<string, FileContent> {
  const data: FileContent = {
    byteLength: exported.model.dataLength,
    fill: (write) => exportWeights(exported, weights, backend, (bytes, { offset }) => write(bytes, offset)),
  };
  return new Map([
    [dataFile, data],
    [name, contentOf([serialiseModel(exported.model.proto)])],
  ]);
}

async function checkFile(
  path: string,
  saved: ExportedNetwork,
  exported: OnnxExport,
  options: CheckOptions,
): Promise<Agreement> {
  const { backend, threads = 1 } = options;
  const session = await backend.createSession(await loadable(path, backend), {
    purpose: 'inference',
    threads,
    // All steps in one run take a while: a thread of their own leaves this one free, for Ctrl-C.
    ...(exported.what === 'sampler' ? { workers: 1 } : {}),
  });
  try {
    return await checkExport(saved, exported, session, chosen<CheckOptions>(options, CHECK_OPTIONS));
  } finally {
    await session.release();
  }
}

async function loadable(path: string, { optimise }: Backend): Promise<LoadableModel> {
  if (optimise !== undefined) return { path, isOptimised: false };
  const dataPath = dataPathOf(path);
  const bytes = await readFile(path);
  return existsSync(dataPath)
    ? { bytes, data: { name: basename(dataPath), bytes: await readFile(dataPath) } }
    : { bytes };
}

/**
 * Writes one set of weights under the names that it has, reads the file again and compares every value.
 *
 * @returns its length in bytes
 * @throws CheckpointError if it cannot be written
 */
export async function writeWeightsExport(
  path: string,
  { card, weights, source }: SavedNetwork,
  metadata: Readonly<Record<string, string>>,
): Promise<number> {
  const content = contentOf(
    serialiseSafetensors(weights, { ...cardMetadata(card), weights: source, ...metadata }),
  );
  const files = new Map([[basename(path), content]]);
  const check = async (folder: string): Promise<void> => {
    const file = await openTensorFile(join(folder, basename(path)));
    try {
      for (const [name, { data }] of weights) {
        const { data: read } = await file.read(name);
        if (!data.every((value, i) => Object.is(value, read[i]))) throw damagedError(name);
      }
    } finally {
      await file.close();
    }
  };
  await writeFilesAtomic(dirname(path), files, check, CheckpointError);
  return content.byteLength;
}

function damagedError(name: string): NumericsError {
  return new NumericsError({
    where: 'export',
    problem: `${name} was read back with other values than were written`,
    fix: 'check the disk; nothing was written',
  });
}
