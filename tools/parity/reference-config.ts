/** @file Configurations as the reference's constructors take them, in our terms. */
import * as v from 'valibot';
import { DataError } from '../../src/core/errors.ts';
import type { TensorMap } from '../../src/core/host-tensor.ts';
import type { GaussianOptions } from '../../src/diffusion/gaussian/gaussian.ts';
import { fitParameters } from '../../src/formats/fit.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { type DiTConfig, FULL_ATTENTION } from '../../src/networks/denoisers/dit.ts';
import type { UDiTConfig } from '../../src/networks/denoisers/udit.ts';
import { PRESETS } from '../../src/networks/presets.ts';
import type { ModelSpec } from '../../src/networks/registry.ts';

const positive = v.pipe(v.number(), v.integer(), v.minValue(1));
/** Python's flags are numbers or booleans. */
const flag = v.pipe(
  v.union([v.boolean(), v.number()]),
  v.transform((value) => Boolean(value)),
);

const SHARED = {
  input_size: v.optional(positive, 32),
  in_channels: v.optional(positive, 4),
  hidden_size: positive,
  num_heads: positive,
  num_classes: v.optional(positive, 1000),
  class_dropout_prob: v.optional(v.number(), 0.1),
  learn_sigma: v.optional(flag, true),
};

const uditSchema = v.strictObject({
  ...SHARED,
  depth: v.array(positive),
  mlp_ratio: v.number(),
  down_factor: v.union([positive, v.array(positive)]),
  attn_type: v.nullable(v.picklist(['v2'])),
  posemb_type: v.nullable(v.picklist(['rope2d'])),
  downsampler: v.picklist(['dwconv1', 'dwconv3', 'dwconv5']),
  down_shortcut: flag,
  ffn_type: v.picklist(['rep', 'basic']),
  rep: flag,
});

const patchSchema = v.strictObject({
  ...SHARED,
  patch_size: v.picklist([2, 4, 8]),
  depth: positive,
  mlp_ratio: v.optional(v.number(), 4),
});

/**
 * @param kind - what the fixture calls the network, such as `SiTLLaMA`; without it, only DiT and U-DiT are told apart:
 *   by their options, since only DiT has patches
 */
export function specOfReference(config: object, where: string, kind = ''): ModelSpec {
  if (!('patch_size' in config)) {
    return { family: 'U-DiT', config: uditConfigOf(parse(uditSchema, config, where)) };
  }
  return {
    family: kind.includes('LLaMA') ? 'DiT-LLaMA' : 'DiT',
    config: patchConfigOf(parse(patchSchema, config, where), kind.startsWith('SiT')),
  };
}

type Parsed<S extends v.GenericSchema> = v.InferOutput<S>;

function sharedConfigOf(config: Parsed<typeof uditSchema> | Parsed<typeof patchSchema>) {
  return {
    inputSize: config.input_size,
    inChannels: config.in_channels,
    numClasses: config.num_classes,
    learnSigma: config.learn_sigma,
    classDropoutProb: config.class_dropout_prob,
    width: config.hidden_size,
    heads: config.num_heads,
    mlpRatio: config.mlp_ratio,
  };
}

function uditConfigOf(config: Parsed<typeof uditSchema>): UDiTConfig {
  return {
    ...sharedConfigOf(config),
    depth: config.depth,
    tokens: 'qkv',
    downFactor: config.down_factor,
    downsampler: config.downsampler,
    downShortcut: config.down_shortcut,
    attention: config.attn_type === 'v2' ? 'cosine' : 'dot',
    position: config.posemb_type ?? 'none',
    ffn: config.ffn_type === 'rep' && !config.rep ? 'dwconv' : config.ffn_type,
  };
}

/** Of SiT's networks, channels for a variance are computed and thrown away. */
function patchConfigOf(config: Parsed<typeof patchSchema>, isSiT: boolean): DiTConfig {
  return {
    ...sharedConfigOf(config),
    depth: config.depth,
    patchSize: config.patch_size,
    learnSigma: config.learn_sigma && !isSiT,
    discardSigma: config.learn_sigma && isSiT,
    ...FULL_ATTENTION,
  };
}

/** The preset that the reference calls so: `DiT-S/2`, `DiT-S_2` as a file, or `DiTLLaMA_B_4`. */
export function presetOfReference(name: string): ModelSpec | undefined {
  return PRESETS[name.replace(/^(DiT|SiT)LLaMA_/, '$1-LLaMA-').replace('_', '/')];
}

const createDiffusionSchema = v.strictObject({
  timestep_respacing: v.string(),
  noise_schedule: v.optional(v.picklist(['linear', 'squaredcos_cap_v2']), 'linear'),
  learn_sigma: v.optional(flag, true),
  sigma_small: v.optional(flag, false),
  predict_xstart: v.optional(flag, false),
  use_kl: v.optional(flag, false),
  rescale_learned_sigmas: v.optional(flag, false),
  diffusion_steps: v.optional(positive, 1000),
});

/** Arguments of the reference's `create_diffusion`. */
export function gaussianOptionsOfReference(reference: unknown, where: string): GaussianOptions {
  const given = parse(createDiffusionSchema, reference, where);
  return {
    steps: given.diffusion_steps,
    respacing: given.timestep_respacing,
    schedule: given.noise_schedule === 'linear' ? 'linear' : 'cosine',
    prediction: given.predict_xstart ? 'x0' : 'epsilon',
    variance: given.learn_sigma ? 'learned-range' : given.sigma_small ? 'fixed-small' : 'fixed-large',
    loss: given.use_kl ? 'rescaled-kl' : given.rescale_learned_sigmas ? 'rescaled-mse' : 'mse',
  };
}

/**
 * The weights of `model` from a file that several variants may share: parameters that this variant lacks are left out.
 *
 * @throws CheckpointError if one that it has is missing or misshapen
 */
export function weightsOf(model: Denoiser, tensors: TensorMap, where: string): TensorMap {
  const parameters = [...model.parameters()];
  const names = new Set(parameters.map(({ name }) => name));
  const shared = new Map([...tensors].filter(([name]) => names.has(name)));
  const fitted = fitParameters(parameters, shared, { where, model: 'the configured model' });
  return new Map(parameters.map(({ name }, i) => [name, fitted[i]!]));
}

function parse<S extends v.GenericSchema>(schema: S, value: unknown, where: string): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const option = v.getDotPath(issue) ?? 'configuration';
  const problem =
    issue.expected === 'never'
      ? `the option "${option}" of the reference has no counterpart here`
      : `${option}: expected ${issue.expected}, received ${issue.received}`;
  throw new DataError({ where, problem });
}
