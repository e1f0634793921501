/** @file The kinds of fixtures that can be checked. A new kind is one file and one entry here. */
import { autoencoderKL, sdAutoencoder, sdAutoencoderKeys } from './autoencoder-kl.ts';
import { checkpointFiles } from './checkpoint-files.ts';
import { cost } from './cost.ts';
import { dinov2 } from './dinov2.ts';
import type { Fixture } from './fixture.ts';
import { fullSize } from './full-size.ts';
import { gaussianSteps } from './gaussian-steps.ts';
import { imageCrop } from './image-crop.ts';
import { inception } from './inception.ts';
import { initialisation } from './initialisation.ts';
import type { Check, FixtureKind } from './kind.ts';
import { metrics } from './metrics.ts';
import { modelForward } from './model-forward.ts';
import { positions } from './positions.ts';
import { resizing } from './resizing.ts';
import { samplingLoop } from './sampling-loop.ts';
import { respacing, schedule } from './schedules.ts';
import { taesd } from './taesd.ts';
import { training } from './training.ts';
import { transportLikelihood } from './transport-likelihood.ts';
import { transportLosses } from './transport-losses.ts';
import { transportSampling } from './transport-sampling.ts';

/** The first that recognises a fixture checks it. */
const KINDS: readonly FixtureKind[] = [
  modelForward,
  positions,
  schedule,
  respacing,
  gaussianSteps,
  samplingLoop,
  training,
  initialisation,
  cost,
  imageCrop,
  fullSize,
  checkpointFiles,
  metrics,
  resizing,
  inception,
  dinov2,
  transportLosses,
  transportSampling,
  transportLikelihood,
  autoencoderKL,
  sdAutoencoder,
  sdAutoencoderKeys,
  taesd,
];

export function recogniseKind(
  fixture: Fixture,
): { readonly name: string; readonly check: Check } | undefined {
  for (const kind of KINDS) {
    const check = kind.recognise(fixture);
    if (check !== undefined) return { name: kind.name, check };
  }
  return undefined;
}

/** What a fixture that nothing checks says of itself. */
export function describeUnknown({ json }: Fixture): string {
  if (typeof json !== 'object' || json === null) return 'no object';
  const { kind, model, doc } = json as Readonly<Record<string, unknown>>;
  const description = [kind, model, doc].find((value) => typeof value === 'string');
  return typeof description === 'string' ? description.split(/[:;,.]/)[0]!.slice(0, 60) : 'no description';
}
