/** @file `udit export`: a checkpoint as ONNX or as plain weights, for programs that are not this one. */

import { basename, dirname, extname, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ConfigError } from '../core/errors.ts';
import { readTensors } from '../core/tensor-source.ts';
import { version } from '../core/version-node.ts';
import { cpuBackend } from '../engine/runtime/cpu-node.ts';
import { sha256OfFile } from '../host/files/digest-node.ts';
import { expectRoomIn, makeFolder } from '../host/files/make-folder-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { findAnyCheckpoint, isDenoiser, locateCheckpoint, type OpenAny } from '../models/bundled-node.ts';
import { compileCache } from '../models/compile-cache-node.ts';
import { underDiffusersNames } from '../models/diffusers-names.ts';
import { termsOf } from '../models/terms-node.ts';
import { countParameters } from '../networks/nn/module.ts';
import { PRECISIONS, type Precision } from '../networks/precision.ts';
import { dataPathOf, writeOnnxExport, writeWeightsExport } from '../tasks/export/export-file-node.ts';
import { type ExportedPart, OPSETS } from '../tasks/export/onnx-export.ts';
import { expectBatchFits } from '../tasks/sampling/enough-memory-node.ts';
import { workerBytes } from '../tasks/sampling/worker-memory.ts';
import {
  describeExport,
  describeExportAsJson,
  type ExportReport,
  type TensorNames,
} from './export-report.ts';
import { interruptible } from './failures.ts';
import { listOf, namingFlags, threadCount, wholeNumber } from './flags.ts';
import {
  type ModelFlags,
  modelRequest,
  type TraceFlags,
  traceAtOf,
  tracedSize,
  withModelFlags,
  withTraceFlags,
} from './model-flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import { givenSettings, requestedSettings, type SamplingFlags, withSamplingFlags } from './sampling-flags.ts';
import { notesOn, startProgress, type Terminal } from './terminal.ts';

type Format = 'onnx' | 'safetensors';

interface ExportFlags extends ModelFlags, TraceFlags, SamplingFlags {
  readonly what?: ExportedPart;
  readonly outputs?: readonly string[];
  readonly format?: Format;
  readonly names?: TensorNames;
  readonly out: string;
  readonly batchSize?: number;
  readonly precision?: Precision;
  readonly opset?: number;
  readonly externalData?: true;
  readonly json?: true;
  readonly threads?: number;
}

const PARTS: readonly ExportedPart[] = ['sampler', 'guided-step', 'denoiser', 'network'];
const FORMATS: readonly Format[] = ['onnx', 'safetensors'];
const NAMES: readonly TensorNames[] = ['original', 'diffusers'];

const EXAMPLES = `
Examples:
  npx udit export --out emoji.onnx                                noise and labels in, images out
  npx udit export runs/mine --what denoiser --out net.onnx        the network alone
  npx udit export runs/mine --steps 50 --cfg-scale 4 --out a.onnx a sampler of other settings
  npx udit export --precision int8 --out emoji-int8.onnx          faster on CPUs, slightly less accurate
  npx udit export runs/mine --out mine.safetensors                weights under PyTorch's names
  npx udit export vae.safetensors --outputs images --out decoder.onnx
                                                                  the decoder of an autoencoder
  npx udit export dit.pt --names diffusers --out dit.safetensors  weights of DiT for diffusers
`;

export function defineExport(command: Command, terminal: Terminal): void {
  command
    .argument(
      '[run]',
      'run folder (its latest checkpoint), .safetensors or .pt file; by default the bundled model',
    )
    .optionsGroup('What to write:')
    .requiredOption('--out <file>', 'where to write; .onnx or .safetensors')
    .addOption(
      new Option(
        '--what <part>',
        'network, one guided step, or the whole sampler (default: sampler; of other networks: network)',
      ).choices(PARTS),
    )
    .option(
      '--outputs <names>',
      'of an autoencoder: images is its decoder, latents its encoder (default: all outputs)',
      listOf((name) => name),
    )
    .addOption(new Option('--format <name>', 'for names with another ending').choices(FORMATS))
    .addOption(
      new Option(
        '--names <whose>',
        'of the tensors in .safetensors; those of diffusers for DiT and SiT (default: original)',
      ).choices(NAMES),
    )
    .addOption(
      new Option(
        '--precision <name>',
        'int8: linear layers with 8-bit weights and activations (default: f32)',
      ).choices(PRECISIONS),
    )
    .option(
      '--opset <version>',
      'of the standard operators; 17 for onnxruntime 1.17 and other older runtimes (default: 23)',
      opset,
    )
    .option('--batch-size <n>', 'images per run of the file (default: any number)', wholeNumber({ from: 1 }))
    .option('--external-data', 'weights in a file of their own, <file>.data (default: only above 2 GB)')
    .option('--json', 'print the result as JSON');
  withTraceFlags(withModelFlags(command)).optionsGroup('How it draws (by default what suits the model):');
  withSamplingFlags(command)
    .optionsGroup('Where to check it:')
    .option('--threads <n>', 'CPU threads (default: one per physical core)', threadCount)
    .addHelpText('after', EXAMPLES)
    .action((run: string | undefined, flags: ExportFlags) =>
      interruptible((signal) =>
        namingFlags(givenSettings(flags), () => runExport(run, flags, terminal, signal)),
      ),
    );
}

function opset(text: string): number {
  const version = Number(text);
  if (OPSETS.includes(version)) return version;
  throw new InvalidArgumentError(`Allowed are ${OPSETS.join(' and ')}: newer runtimes read both.`);
}

async function runExport(
  run: string | undefined,
  flags: ExportFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const format = flags.format ?? formatOf(flags.out);
  expectMeaningful(flags, format);
  const checkpoint = await locateCheckpoint(run);
  const path = resolve(flags.out);
  // A file of weights beside a model is written, or removed if it is an earlier export's.
  const outputs = format === 'onnx' ? [path, dataPathOf(path)] : [path];
  await expectHarmlessOutputs('--out', outputs, [checkpoint]);
  const saved = await findAnyCheckpoint(checkpoint, modelRequest(flags));
  try {
    expectOfRole(flags, saved);
    await makeFolder(dirname(path), ELSEWHERE);
    await expectRoomIn(dirname(path), leastBytes(saved, format, flags), ELSEWHERE);
    const sha256 = await sha256OfFile(checkpoint, { signal });
    const metadata = {
      udit_version: version,
      checkpoint: basename(checkpoint),
      checkpoint_sha256: sha256,
      ...termsOf(checkpoint, sha256),
    };
    const written =
      format === 'onnx'
        ? await exportModel(path, saved, flags, metadata, terminal, signal)
        : await exportWeights(path, saved, flags, metadata);
    const report: ExportReport = { saved, checkpoint, ...written };
    terminal.out.write(flags.json === true ? describeExportAsJson(report) : describeExport(report));
  } finally {
    await saved.close();
  }
}

const ELSEWHERE = { fix: 'choose another place with --out' };

/** Of each weight; in ONNX several may be merged into one. */
function leastBytes({ network }: OpenAny, format: Format, { precision }: ExportFlags): number {
  const perWeight = format === 'safetensors' ? 4 : precision === 'int8' ? 0.5 : 2;
  return perWeight * countParameters(network.parameters());
}

type Written = Pick<ExportReport, 'paths' | 'bytes' | 'tensors' | 'onnx'>;

async function exportWeights(
  path: string,
  saved: OpenAny,
  { names = 'original' }: ExportFlags,
  metadata: Record<string, string>,
): Promise<Written> {
  const original = await readTensors(saved.weights);
  const weights =
    isDenoiser(saved) && names === 'diffusers' ? underDiffusersNames(saved.card.spec, original) : original;
  const bytes = await writeWeightsExport(path, { ...saved, weights }, metadata);
  return { paths: [path], bytes, tensors: { count: weights.size, names } };
}

async function exportModel(
  path: string,
  saved: OpenAny,
  flags: ExportFlags,
  metadata: Record<string, string>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Written> {
  const traceAt = isDenoiser(saved) ? traceAtOf(saved, flags) : { size: tracedSize(saved, flags) };
  if (flags.batchSize !== undefined && isDenoiser(saved)) {
    expectBatchFits(flags.batchSize, (images) => workerBytes(saved.network, images, { size: traceAt.size }));
  }
  const progress = startProgress(terminal, { title: 'checking', total: 1 });
  try {
    const { paths, bytes, ...onnx } = await writeOnnxExport(path, saved, {
      ...traceAt,
      what: flags.what ?? (isDenoiser(saved) ? 'sampler' : 'network'),
      outputs: flags.outputs,
      settings: requestedSettings(flags),
      batchSize: flags.batchSize,
      precision: flags.precision,
      opset: flags.opset,
      externalData: flags.externalData,
      metadata,
      backend: cpuBackend,
      threads: flags.threads ?? physicalCores(),
      cache: compileCache(notesOn(terminal)),
      signal,
      onProgress: (done, note) => progress.update(done, note),
    });
    return { paths, bytes, onnx };
  } finally {
    progress.stop();
  }
}

/** @throws ConfigError if the file's name does not tell */
function formatOf(path: string): Format {
  const ending = extname(path).slice(1) as Format;
  if (FORMATS.includes(ending)) return ending;
  throw new ConfigError({
    where: 'udit export',
    problem: `${path} ends neither in .onnx nor in .safetensors`,
    fix: 'choose such a name, or add --format',
  });
}

/** Flags that change nothing in what is written are mistakes. */
function expectMeaningful(flags: ExportFlags, format: Format): void {
  const { what, names, batchSize, positionScaling, precision, opset, externalData } = flags;
  const settings = Object.values(requestedSettings(flags));
  const isOfModel = [what, batchSize, positionScaling, precision, opset, externalData].some(
    (value) => value !== undefined,
  );
  const isOfDrawing = settings.some((value) => value !== undefined);
  const problem =
    format === 'safetensors' && (isOfModel || isOfDrawing)
      ? 'a file of weights says nothing of parts, batches, positions, precision, operators or how images are drawn'
      : format === 'onnx' && names !== undefined
        ? 'a model in ONNX has names of its own'
        : what === 'denoiser' && isOfDrawing
          ? 'the denoiser alone says nothing of how images are drawn'
          : undefined;
  if (problem === undefined) return;
  throw new ConfigError({ where: 'udit export', problem, fix: 'leave those flags out' });
}

/** Flags of denoisers mean nothing for other networks, and the other way round. */
function expectOfRole(flags: ExportFlags, saved: OpenAny): void {
  const { model, numClasses, tokens, downFactor, positionScaling, names, outputs } = flags;
  const ofDenoisers = {
    ...{ '--model': model, '--num-classes': numClasses, '--tokens': tokens, '--down-factor': downFactor },
    ...{ '--position-scaling': positionScaling, '--names': names },
    ...Object.fromEntries([...givenSettings(flags)].map(([setting, flag]) => [flag, setting])),
  };
  const other = isDenoiser(saved) ? { '--outputs': outputs } : ofDenoisers;
  const [flag] = Object.entries(other).find(([, value]) => value !== undefined) ?? [];
  if (flag === undefined) return;
  throw new ConfigError({
    where: 'udit export',
    problem: `${saved.card.name} is ${isDenoiser(saved) ? 'a denoiser' : 'no denoiser'}: ${flag} means nothing for it`,
    fix: 'leave it out',
  });
}
