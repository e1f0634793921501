/** @file A checkpoint of a tiny U-DiT with random weights, as training writes it. */

import type { TensorMap } from '../../src/core/host-tensor.ts';
import { randomKey } from '../../src/core/random.ts';
import { writeSafetensors } from '../../src/formats/file-node.ts';
import { serialiseSafetensors } from '../../src/formats/safetensors.ts';
import { cardMetadata, type ModelCard, weightsPrefix } from '../../src/models/saved-model.ts';
import type { DiTConfig } from '../../src/networks/denoisers/dit.ts';
import type { UDiTConfig } from '../../src/networks/denoisers/udit.ts';
import { initialise, normalWith } from '../../src/networks/nn/initialise.ts';
import { presetSpec } from '../../src/networks/presets.ts';
import { createModel, type ModelSpec } from '../../src/networks/registry.ts';

export function tinySpec(overrides: Partial<UDiTConfig> = {}): ModelSpec {
  return presetSpec('U-DiT-XS', {
    inputSize: 8,
    numClasses: 3,
    width: 8,
    depth: [1, 1, 1, 1, 1],
    downFactor: [2, 2, 1, 2, 2],
    ...overrides,
  });
}

/** A DiT of one block: it compiles in a tenth of the time, for tests of something else than the network. */
export function tinyDiTSpec(changes: Partial<DiTConfig> = {}): ModelSpec {
  return presetSpec('DiT-S/2', {
    ...{ inputSize: 8, inChannels: 3, numClasses: 3, learnSigma: false },
    ...{ width: 8, heads: 2, depth: 1, ...changes },
  });
}

export function tinyCard(changes: Partial<ModelCard> = {}): ModelCard {
  return {
    name: 'U-DiT-XS',
    spec: tinySpec(),
    objective: { kind: 'flow', timeScale: 1000 },
    classNames: ['Red Fox', 'Owl', 'Newt'],
    step: 20,
    nimg: 640,
    ...changes,
  };
}

/** The card of {@link tinyDiTSpec}. */
export function tinyDiTCard(changes: Partial<ModelCard> = {}): ModelCard {
  return tinyCard({ name: 'tiny DiT', spec: tinyDiTSpec(), ...changes });
}

/** Random values for every parameter; a model's own initial ones would predict zeros. */
export function randomWeights(spec: ModelSpec, seed: number): TensorMap {
  return initialise(createModel(spec), () => normalWith(0.2), randomKey(seed));
}

/** Writes weights (seed 1) and their moving average (seed 2). */
export async function writeTinyCheckpoint(path: string, card: ModelCard): Promise<void> {
  await writeSafetensors(path, tinyTensors(card), cardMetadata(card));
}

/** What {@link writeTinyCheckpoint} writes. */
export function tinyCheckpointBytes(card: ModelCard): Uint8Array {
  return Buffer.concat([...serialiseSafetensors(tinyTensors(card), cardMetadata(card))]);
}

function tinyTensors({ spec }: ModelCard): TensorMap {
  const groups = [
    [weightsPrefix('model'), 1],
    [weightsPrefix('ema'), 2],
  ] as const;
  return new Map(
    groups.flatMap(([prefix, seed]) =>
      [...randomWeights(spec, seed)].map(([name, tensor]) => [prefix + name, tensor] as const),
    ),
  );
}
