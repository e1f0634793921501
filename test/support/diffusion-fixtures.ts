/** @file The reference's Gaussian diffusion in numbers: test/fixtures/diffusion, and the engines they are checked on. */
import { readFileSync } from 'node:fs';
import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import { toNumbers } from '../../src/core/host-tensor.ts';
import {
  type GaussianDiffusion,
  type GaussianOptions,
  gaussianDiffusion,
} from '../../src/diffusion/gaussian/gaussian.ts';
import { compileTraining } from '../../src/engine/compile/training.ts';
import { checkGraph, graphOf } from '../../src/engine/graph/graph.ts';
import type { Tensor } from '../../src/engine/graph/tensor.ts';
import { evaluate } from '../../src/engine/interp/evaluate.ts';
import { cpuBackend } from '../../src/engine/runtime/cpu-node.ts';
import { parseSafetensors } from '../../src/formats/safetensors.ts';

const FOLDER = new URL('../fixtures/diffusion/', import.meta.url);

export function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as T;
}

/** Arguments of the reference's `create_diffusion`. */
export interface CreateDiffusionArguments {
  readonly timestep_respacing: string;
  readonly noise_schedule?: 'linear' | 'squaredcos_cap_v2';
  readonly learn_sigma?: boolean;
  readonly sigma_small?: boolean;
  readonly predict_xstart?: boolean;
  readonly use_kl?: boolean;
  readonly rescale_learned_sigmas?: boolean;
}

export function optionsOf(reference: CreateDiffusionArguments): Partial<GaussianOptions> {
  const {
    learn_sigma = true,
    sigma_small = false,
    use_kl = false,
    rescale_learned_sigmas = false,
  } = reference;
  return {
    respacing: reference.timestep_respacing,
    schedule: reference.noise_schedule === 'squaredcos_cap_v2' ? 'cosine' : 'linear',
    prediction: reference.predict_xstart ? 'x0' : 'epsilon',
    variance: learn_sigma ? 'learned-range' : sigma_small ? 'fixed-small' : 'fixed-large',
    loss: use_kl ? 'rescaled-kl' : rescale_learned_sigmas ? 'rescaled-mse' : 'mse',
  };
}

export interface GaussianCase {
  readonly file: string;
  readonly name: string;
  readonly diffusion: GaussianDiffusion;
  /** Inputs x_start, noise, t and `output`, which stands in for the network. */
  readonly feeds: TensorMap;
  /** Recorded values, by the quantity's name. */
  recorded(quantity: string): HostTensor;
  has(quantity: string): boolean;
}

export const STEP_FILES = ['steps_and_losses', 'steps_and_losses_other_types'] as const;

export function readTensors(file: string): TensorMap {
  const path = new URL(`${file}.safetensors`, FOLDER);
  return parseSafetensors(new Uint8Array(readFileSync(path)), path.pathname).tensors;
}

/** Every configuration of which single steps and losses were recorded. */
export function readGaussianCases(): GaussianCase[] {
  return STEP_FILES.flatMap((file) => {
    const { cases } = readJson<{
      cases: Record<string, { readonly create_diffusion: CreateDiffusionArguments }>;
    }>(`${file}.json`);
    const tensors = readTensors(file);
    return Object.entries(cases).map(([name, { create_diffusion }]): GaussianCase => {
      const diffusion = gaussianDiffusion(optionsOf(create_diffusion));
      const learned = diffusion.options.variance === 'learned-range';
      return {
        file,
        name,
        diffusion,
        feeds: new Map([
          ['x_start', tensors.get('x_start')!],
          ['noise', tensors.get('noise')!],
          ['t', tensors.get(`${name}.t`) ?? tensors.get('t')!],
          ['output', tensors.get(learned ? 'net_out8' : 'net_out4')!],
        ]),
        recorded: (quantity) => tensors.get(`${name}.${quantity}`)!,
        has: (quantity) => tensors.has(`${name}.${quantity}`),
      };
    });
  });
}

export type Outputs = ReadonlyMap<string, ArrayLike<number>>;

export interface Engine {
  readonly name: string;
  /** Does it round as the reference does, whose every value is float32? */
  readonly rounds: boolean;
  run(outputs: Readonly<Record<string, Tensor>>, feeds: TensorMap): Promise<Outputs>;
}

/** The float64 evaluator and ONNX Runtime in float32: what agrees on both is neither a rounding nor a lowering error. */
export const ENGINES: readonly Engine[] = [
  {
    name: 'interp',
    rounds: false,
    async run(outputs, feeds) {
      const graph = graphOf(outputs);
      checkGraph(graph);
      return new Map([...evaluate(graph, feeds)].map(([name, { data }]) => [name, data]));
    },
  },
  {
    name: 'onnxruntime',
    rounds: true,
    async run(outputs, feeds) {
      const session = await compileTraining(graphOf(outputs), cpuBackend);
      const results = await session.run(feeds);
      await session.release();
      return new Map([...results].map(([name, value]) => [name, toNumbers(value)]));
    },
  },
];
