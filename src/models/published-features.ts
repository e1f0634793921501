/** @file Which feature network the weights of another program belong to, from the shapes of their tensors. */
import { CheckpointError } from '../core/errors.ts';
import type { TensorInfo } from '../core/tensor-source.ts';
import { recogniseFeatures } from '../networks/recognise.ts';
import type { FeatureCard, SavedNetwork } from './saved-model.ts';

export interface FeatureDescription {
  readonly card: FeatureCard;
  readonly findings: SavedNetwork['findings'];
  readonly advice: undefined;
}

/** @throws CheckpointError if the shapes are those of no known feature network */
export function describePublishedFeatures(
  tensors: ReadonlyMap<string, TensorInfo>,
  where: string,
): FeatureDescription {
  const recognised = recogniseFeatures(tensors);
  if (recognised === undefined) {
    throw new CheckpointError({
      where,
      problem: `its ${tensors.size} tensors fit no known feature network`,
      facts: [['tensors', `${[...tensors.keys()].slice(0, 3).join('   ')} …`]],
      fix: "give the weights of pytorch-fid's Inception, or of DINOv2 without registers",
    });
  }
  const { name, spec, assumed } = recognised;
  const assumptions = Object.entries(assumed).map(([option, value]) => `${option} ${String(value)}`);
  return {
    card: { role: 'features', name, spec, step: 0, nimg: 0 },
    findings: [
      ['network', `${name}, recognised by the shapes of its tensors`],
      ...(assumptions.length === 0 ? [] : [['assumed', assumptions.join(', ')] as const]),
    ],
    advice: undefined,
  };
}
