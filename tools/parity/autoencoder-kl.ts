/** @file AutoencoderKL: moments, samples, decoded pictures and values inside, with stored weights or those of a formula. */
import * as v from 'valibot';
import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import { toPixels } from '../../src/data/images/pixels.ts';
import { concat, mul, transpose } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { fitParameters } from '../../src/formats/fit.ts';
import { AutoencoderKL, type AutoencoderKLConfig } from '../../src/networks/autoencoders/autoencoder-kl.ts';
import {
  deviationOf,
  klToStandardNormal,
  sampleLatents,
} from '../../src/networks/autoencoders/latent-distribution.ts';
import { AUTOENCODER_KL_PRESETS } from '../../src/networks/autoencoders/presets.ts';
import { countParameters } from '../../src/networks/nn/module.ts';
import { checkpointKeyOfKL } from '../../src/networks/recognise-autoencoders.ts';
import { type Comparison, compareExactly, compareTensors } from './comparison.ts';
import { type Fixture, readBeside, readBesideIfThere, requireTensor } from './fixture.ts';
import { formulaTensor, spreadOverInputs } from './formula.ts';
import type { Check, FixtureKind } from './kind.ts';
import { TracedModules } from './module-values.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { EXACT, StatedTolerance } from './tolerance.ts';

// Tiny ones with stored weights

const tinySchema = v.object({
  config: v.object({
    in_channels: v.number(),
    latent_channels: v.number(),
    block_out_channels: v.array(v.number()),
    layers_per_block: v.number(),
    norm_num_groups: v.number(),
    scaling_factor: v.number(),
  }),
  params: v.number(),
  tolerance: v.string(),
});
type TinyJson = v.InferOutput<typeof tinySchema>;

export const autoencoderKL: FixtureKind = {
  name: 'AutoencoderKL',
  recognise(fixture) {
    const parsed = v.safeParse(tinySchema, fixture.json);
    return parsed.success ? checkTiny(fixture, parsed.output) : undefined;
  },
};

function checkTiny(fixture: Fixture, { config, params, tolerance }: TinyJson): Check {
  return async (backend) => {
    const side = requireTensor(fixture.tensors, 'x', fixture.name).shape[2]!;
    const network = new AutoencoderKL({
      inputSize: side,
      inChannels: config.in_channels,
      latentChannels: config.latent_channels,
      factor: 2 ** (config.block_out_channels.length - 1),
      levelChannels: config.block_out_channels,
      layersPerLevel: config.layers_per_block,
      normGroups: config.norm_num_groups,
      midAttention: true,
      quantConv: true,
    });
    const beside = fixture.path
      .split('/')
      .at(-1)!
      .replace(/\.json$/, '.weights');
    const weights = weightsFor(network, await readBeside(fixture, `${beside}.safetensors`));
    const deprecated = await readBesideIfThere(fixture, `${beside}_deprecated_names.safetensors`);
    const values = await runGraph(
      valuesOf(network, fixture, config.scaling_factor),
      fixture.tensors,
      backend,
      weights,
    );
    values.set('uint8_hwc', toPixels(values.get('decoded') as HostTensor<'f32'>));
    const stated = new StatedTolerance(tolerance);
    const inputs = new Set(['x', 'z', 'sample_noise']);
    return {
      comparisons: [
        ...[...fixture.tensors]
          .filter(([name]) => !inputs.has(name))
          .map(([name, expected]) => {
            const isBytes = expected.dtype === 'u8';
            return compareTensors(name, values.get(name), expected, isBytes ? { absolute: 1 } : stated.of());
          }),
        compareExactly('params', countParameters(network.parameters()), params),
        ...(deprecated === undefined ? [] : compareWeights(weights, weightsFor(network, deprecated))),
      ],
    };
  };
}

function weightsFor(network: AutoencoderKL, tensors: TensorMap): TensorMap {
  const expected = [...network.parameters()];
  const named = new Map([...tensors].map(([name, tensor]) => [checkpointKeyOfKL(name), tensor]));
  const fitted = fitParameters(expected, named, { where: 'weights', model: 'the configured autoencoder' });
  return new Map(expected.map(({ name }, i) => [name, fitted[i]!]));
}

/** The same weights under other names. */
function compareWeights(weights: TensorMap, others: TensorMap): Comparison[] {
  return [...weights]
    .filter(([name]) => name.includes('attentions'))
    .map(([name, value]) => compareTensors(`deprecated ${name}`, others.get(name), value, EXACT));
}

/** What such a fixture records, by its recorded name. */
function valuesOf(network: AutoencoderKL, fixture: Fixture, scale: number): Record<string, Tensor> {
  const leaf = inputsFrom(fixture.tensors, fixture.name);
  const { mean, logVariance } = network.distribution(leaf('x'));
  const latents = mul(sampleLatents({ mean, logVariance }, leaf('sample_noise')), scale);
  const decoded = network.decode(leaf('z'));
  const inside = [...fixture.tensors.keys()].flatMap((name) => {
    const [, path] = /^act\.(.+)$/.exec(name) ?? [];
    const output =
      path === undefined ? undefined : insideOf(path, path.startsWith('encoder') ? mean : decoded);
    return output === undefined ? [] : [[name, output] as const];
  });
  return {
    // No log-variance of the fixtures comes near its bounds.
    moments: concat([mean, logVariance], 1),
    mean,
    logvar: logVariance,
    std: deviationOf(logVariance),
    kl: klToStandardNormal(mean, logVariance),
    latent_scaled: latents,
    decoded,
    recon_from_scaled: network.decode(mul(mul(leaf('z'), scale), 1 / scale)),
    ...Object.fromEntries(inside),
  };
}

function insideOf(path: string, output: Tensor): Unlabelled | undefined {
  const value = new TracedModules(output).outputOf(path);
  return value && transpose(value, [0, 3, 1, 2]);
}

// Stable Diffusion's size, weights by formula

const fullSizeSchema = v.object({
  doc: v.pipe(v.string(), v.startsWith('full-size SD VAE')),
  params: v.number(),
  tolerance: v.string(),
});

export const sdAutoencoder: FixtureKind = {
  name: 'AutoencoderKL at full size',
  recognise(fixture) {
    const parsed = v.safeParse(fullSizeSchema, fixture.json);
    return parsed.success ? (backend) => checkFullSize(fixture, parsed.output, backend) : undefined;
  },
};

async function checkFullSize(
  { tensors, name }: Fixture,
  { params, tolerance }: v.InferOutput<typeof fullSizeSchema>,
  backend: Backend,
) {
  const network = fullSize();
  const [x, z] = ['x', 'z'].map((input) => requireTensor(tensors, input, name));
  const leaf = inputsFrom(tensors, name);
  const { mean, logVariance } = network.distribution(leaf('x'));
  const outputs = { moments: concat([mean, logVariance], 1), decoded: network.decode(leaf('z')) };
  const values = await runGraph(outputs, tensors, backend, formulaWeights(network));
  const stated = new StatedTolerance(tolerance).of();
  return {
    comparisons: [
      compareExactly('params', countParameters(network.parameters()), params),
      compareTensors('x', formulaTensor(999, 2, x!.shape), x!, EXACT),
      compareTensors('z', formulaTensor(998, Math.sqrt(12), z!.shape), z!, EXACT),
      ...Object.keys(outputs).map((output) =>
        compareTensors(output, values.get(output), requireTensor(tensors, output, name), stated),
      ),
    ],
  };
}

function fullSize(): AutoencoderKL {
  return new AutoencoderKL(AUTOENCODER_KL_PRESETS['SD-VAE'] as AutoencoderKLConfig);
}

function formulaWeights(network: AutoencoderKL): TensorMap {
  return new Map(
    [...network.parameters()].map(({ name, shape }, position) => {
      const spread = shape.length > 1 ? spreadOverInputs(shape, 12) : 0.2;
      // Scales of norms lie around 1.
      const offset = /norm\w*\.weight$/.test(name) ? 1 : 0;
      return [name, formulaTensor(position, spread, shape, offset)];
    }),
  );
}

// Its keys

const keysSchema = v.object({
  params: v.number(),
  keys: v.record(v.string(), v.array(v.number())),
  deprecated_names: v.array(v.string()),
});

export const sdAutoencoderKeys: FixtureKind = {
  name: 'keys of AutoencoderKL',
  recognise(fixture) {
    const parsed = v.safeParse(keysSchema, fixture.json);
    return parsed.success ? async () => ({ comparisons: compareKeys(parsed.output) }) : undefined;
  },
};

function compareKeys({ params, keys, deprecated_names }: v.InferOutput<typeof keysSchema>): Comparison[] {
  const parameters = [...fullSize().parameters()];
  const own = parameters.map(({ name, shape }) => [name, shape] as const);
  return [
    compareExactly('params', countParameters(parameters), params),
    ...Object.entries(keys).map(([key, shape], i) => compareExactly(key, own[i], [key, shape])),
    compareExactly('number of keys', own.length, Object.keys(keys).length),
    ...deprecated_names.map((name) =>
      compareExactly(name, Object.hasOwn(keys, checkpointKeyOfKL(name)), true),
    ),
  ];
}
