/** @file What `udit export` prints about the file it has written. */

import { plural } from '../charts/format.ts';
import type { ModelValue } from '../engine/onnx/model-writer.ts';
import type { SavedNetwork } from '../models/saved-model.ts';
import type { Agreement } from '../tasks/export/export-check.ts';
import type { WrittenExport } from '../tasks/export/export-file-node.ts';
import { modelLines, shortest } from './wording.ts';

/** Whose names tensors have. */
export type TensorNames = 'original' | 'diffusers';

export interface ExportReport {
  readonly saved: Pick<SavedNetwork, 'card' | 'source' | 'findings'>;
  /** The file that it was made of. */
  readonly checkpoint: string;
  /** The written file, and the one beside it that holds its weights if there is one. */
  readonly paths: readonly string[];
  /** Of all files. */
  readonly bytes: number;
  /** How many tensors were written, and under whose names; undefined for a model in ONNX. */
  readonly tensors?: { readonly count: number; readonly names: TensorNames };
  /** What was written and how it was checked; undefined for weights alone. */
  readonly onnx?: Pick<WrittenExport, 'exported' | 'agreement'>;
}

/** A few lines: what the file takes and gives, and how well it agrees. */
export function describeExport({ saved, checkpoint, paths, bytes, tensors, onnx }: ExportReport): string {
  const lines = [`${paths.map(shortest).join(' and ')}, ${(bytes / 1e6).toFixed(1)} MB`];
  if (tensors !== undefined) {
    const whose = tensors.names === 'diffusers' ? 'the names of diffusers' : "PyTorch's names";
    lines.push(`  ${plural(tensors.count, 'tensor')} under ${whose}, read back and compared`);
  }
  if (onnx !== undefined) {
    const { inputs, outputs, drawing } = onnx.exported;
    if (drawing !== undefined) {
      const { sampler, cfgScale } = drawing.settings;
      const steps = plural(drawing.plan.steps.length, 'step');
      lines.push(`  draws    by ${sampler} in ${steps}, made for cfg scale ${cfgScale}`);
    }
    lines.push(`  takes    ${inputs.map(describeValue).join(', ')}`);
    lines.push(`  gives    ${outputs.map(describeValue).join(', ')}`);
    lines.push(`  checked  ${describeAgreement(onnx.agreement)}`);
  }
  return `${modelLines(saved, checkpoint)}${lines.join('\n')}\n`;
}

function describeAgreement({ batchSizes, maxAbs, relativeL2, live, tolerance }: Agreement): string {
  const agreement =
    `against the live model in float32, in batches of ${batchSizes.join(' and ')}: ` +
    `largest difference ${maxAbs.toExponential(1)}, relative L2 ${relativeL2.toExponential(1)} ` +
    `(allowed ${tolerance.toExponential(live === undefined ? 0 : 1)})`;
  if (live === undefined) return agreement;
  const error = `relative L2 ${live.relativeL2.toExponential(1)}`;
  return `${agreement}\n           the live model in ${live.precision}: ${error}, of which ${live.factor} times is allowed`;
}

/** `noise f32[N,3,32,32]` */
function describeValue({ name, dtype, shape }: ModelValue): string {
  return `${name} ${dtype}[${shape.join(',')}]`;
}

/** The same for scripts, as one JSON object. */
export function describeExportAsJson({
  saved,
  checkpoint,
  paths,
  bytes,
  tensors,
  onnx,
}: ExportReport): string {
  const result = {
    model: saved.card.name,
    checkpoint,
    weights: saved.source,
    findings: Object.fromEntries(saved.findings),
    format: onnx === undefined ? 'safetensors' : 'onnx',
    path: paths[0],
    dataPath: paths[1] ?? null,
    bytes,
    ...(tensors === undefined ? {} : { tensors }),
    ...(onnx === undefined
      ? {}
      : {
          what: onnx.exported.what,
          precision: onnx.exported.precision,
          opset: onnx.exported.opset,
          sampler: onnx.exported.drawing?.settings ?? null,
          stepCount: onnx.exported.drawing?.plan.steps.length ?? null,
          inputs: onnx.exported.inputs,
          outputs: onnx.exported.outputs,
          check: onnx.agreement,
        }),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}
