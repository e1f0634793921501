/** @file What `udit inspect` prints about a model. */

import { formatShare } from '../charts/format.ts';
import type { ImageSize } from '../core/image-size.ts';
import { type MacCounts, totalMacs } from '../engine/graph/macs.ts';
import { Denoiser } from '../networks/denoisers/denoiser.ts';
import type { Network } from '../networks/nn/network.ts';
import { traceNetwork } from '../networks/trace.ts';
import type { AttentionCost } from '../tasks/inspection/attention-cost.ts';
import type { Counterpart } from '../tasks/inspection/counterpart.ts';
import type { Inspection } from '../tasks/inspection/inspect.ts';
import type { NamedModel } from './model-argument.ts';
import { formatTable } from './table.ts';

export interface InspectedModel extends Omit<NamedModel, 'size'> {
  readonly inspection: Inspection;
  /** The published model it is compared with. */
  readonly counterpart: Counterpart | undefined;
}

const NONE = '–';

export function describeInspection(model: InspectedModel): string {
  return [
    describeInput(model),
    describeStages(model.inspection),
    describeTotals(model.inspection),
    describeMemory(model.inspection),
    ...(model.inspection.attention.length === 0 ? [] : [describeAttention(model.inspection)]),
    ...(model.network instanceof Denoiser ? [describeComparison(model)] : []),
  ].join('\n');
}

function describeInput({ name, spec: { family }, network, inspection: { size } }: InspectedModel): string {
  if (!(network instanceof Denoiser)) return `${name} (${family}): ${describePorts(network, size)}\n`;
  const { inChannels, numClasses, learnSigma } = network.config;
  const [input, output] = [inChannels, learnSigma ? 2 * inChannels : inChannels].map(
    (channels) => `${channels}×${size.height}×${size.width}`,
  );
  return `${name} (${family}): ${input} → ${output}, ${numClasses} classes\n`;
}

/** `x 3×64×64, z 4×8×8 → latents 4×8×8, images 3×64×64` */
function describePorts(network: Network, size: ImageSize): string {
  const { inputs, outputs } = traceNetwork(network, { size });
  return [inputs, outputs]
    .map((ports) =>
      Object.entries(ports)
        .map(([name, { shape }]) => `${name} ${shape.slice(1).join('×')}`)
        .join(', '),
    )
    .join(' → ');
}

function describeStages({ stages, parameters, macs }: Inspection): string {
  const rows = stages.map(({ name, map, blocks, parameters: count, macs: work }) => [
    name,
    map === undefined ? NONE : `${map.height}×${map.width}`,
    map === undefined ? NONE : String(map.channels),
    blocks === undefined ? NONE : String(blocks.heads),
    blocks === undefined ? NONE : String(blocks.count),
    grouped(count),
    ...splitCells(work),
  ]);
  const blockCount = stages.reduce((sum, { blocks }) => sum + (blocks?.count ?? 0), 0);
  const total = [
    'total',
    '',
    '',
    '',
    String(blockCount),
    grouped(parameters.all),
    ...splitCells(macs.merged),
  ];
  const head = [
    'stage',
    'map',
    'width',
    'heads',
    'blocks',
    'parameters',
    'attention',
    'linear',
    'convolution',
  ];
  const note =
    'GMACs: billions of multiply-accumulates for one image (the papers’ “GFLOPs”), with parallel convolutions merged.';
  return `${formatTable([[...head, 'GMACs'], ...rows, total])}${note}\n`;
}

function splitCells(macs: MacCounts): string[] {
  const { attention, linear, convolution } = macs;
  return [attention, linear, convolution, totalMacs(macs)].map(cell);
}

function describeTotals({ parameters, macs }: Inspection): string {
  return formatTable([
    ['', 'merged for drawing', 'as trained'],
    ['parameters', grouped(parameters.merged), grouped(parameters.all)],
    ['GMACs', cell(totalMacs(macs.merged)), cell(totalMacs(macs.branches))],
  ]);
}

function describeMemory({
  memory: { batch, inferencePeak, trainingPeak, trainingKept },
}: Inspection): string {
  const images = batch === 1 ? 'one image' : `${batch} images`;
  return (
    `Activations of ${images} in float32, from where they are computed to where they are last read; without weights:\n` +
    formatTable([
      ['drawing, most at once', megabytes(inferencePeak)],
      ['training, most at once', megabytes(trainingPeak)],
      ['training, kept for the gradient', megabytes(trainingKept)],
    ])
  );
}

function describeAttention({ attention }: Inspection): string {
  const rows = attention.map((cost) => [
    cost.stage,
    grouped(cost.tokens),
    `${cost.groups} × ${grouped(cost.queries)}`,
    grouped(cost.keys),
    cell(cost.macs),
    cell(cost.fullMacs),
    fraction(cost.fullMacs / cost.macs),
    fraction((cost.groups * cost.fullMacs) / cost.macs),
  ]);
  const { used, full } = sumAttention(attention);
  const total = ['total', '', '', '', cell(used), cell(full), fraction(full / used), ''];
  const head = ['stage', 'tokens', 'groups', 'keys', 'GMACs', 'if full', 'all groups', 'one group'];
  return (
    'Scores and values of attention; if full: every token attends to every other, 2·T²·D per layer:\n' +
    formatTable([head, ...rows, total])
  );
}

function sumAttention(attention: readonly AttentionCost[]): { readonly used: number; readonly full: number } {
  const sum = (key: 'macs' | 'fullMacs') => attention.reduce((total, cost) => total + cost[key], 0);
  return { used: sum('macs'), full: sum('fullMacs') };
}

function describeComparison({ name, inspection, counterpart }: InspectedModel): string {
  if (counterpart === undefined) return 'No published model of the other shape takes this input.\n';
  const { macs, attention } = inspection;
  const { used, full } = sumAttention(attention);
  const rows = [attentionShare(name, totalMacs(macs.merged), used, attention)];
  if (full !== used) {
    const whole = attention.map((cost) => ({ ...cost, keys: cost.tokens }));
    rows.push(attentionShare('… if full', totalMacs(macs.merged) - used + full, full, whole));
  }
  const { name: other, macs: otherMacs } = counterpart;
  rows.push(attentionShare(other, totalMacs(otherMacs), otherMacs.attention, counterpart.attention));
  return (
    'Beside the published model of the other shape that costs about as much:\n' +
    formatTable([['', 'GMACs', 'attention', 'share', 'keys of a query'], ...rows])
  );
}

function attentionShare(
  label: string,
  total: number,
  ofAttention: number,
  attention: readonly AttentionCost[],
): string[] {
  const keys = new Set(attention.map((cost) => grouped(cost.keys)));
  return [label, cell(total), cell(ofAttention), formatShare(ofAttention / total), [...keys].join(', ')];
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}

/** Billions with three decimals. */
function cell(count: number): string {
  return count === 0 ? NONE : (count / 1e9).toFixed(3);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** `1/4` */
function fraction(parts: number): string {
  return parts === 1 ? '1' : `1/${Number(parts.toFixed(2))}`;
}
