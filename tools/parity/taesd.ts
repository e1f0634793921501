/** @file Tiny AutoEncoders: weights by formula, and published ones on real pictures. */
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { type HostTensor, hostTensor, type TensorMap, toNumbers } from '../../src/core/host-tensor.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { openCheckpoint } from '../../src/models/bundled-node.ts';
import { Taesd } from '../../src/networks/autoencoders/taesd.ts';
import { checkpointKeyOfTaesd } from '../../src/networks/recognise-autoencoders.ts';
import { type Comparison, compareExactly, compareNumbers, compareTensors } from './comparison.ts';
import { type Fixture, requireTensor } from './fixture.ts';
import { formulaTensor, spreadOverInputs } from './formula.ts';
import type { Check, CheckResult, FixtureKind } from './kind.ts';
import { inputsFrom, runGraph } from './run-graph.ts';

const tolerance = v.object({ relative_l2: v.number(), psnr: v.optional(v.number(), 0) });
const network = v.object({ latentChannels: v.number(), middleNorm: v.boolean() });
const common = { kind: v.literal('taesd'), network, tolerance };

const formulaSchema = v.object({
  ...common,
  encoder_keys: v.record(v.string(), v.array(v.number())),
  decoder_keys: v.record(v.string(), v.array(v.number())),
  diffusers_names: v.record(v.string(), v.string()),
});
const realSchema = v.object({
  ...common,
  weights: v.string(),
  pictures: v.record(v.string(), v.object({ psnr: v.number() })),
});

export const taesd: FixtureKind = {
  name: 'TAESD',
  recognise(fixture) {
    const formula = v.safeParse(formulaSchema, fixture.json);
    if (formula.success) return checkFormula(fixture, formula.output);
    const real = v.safeParse(realSchema, fixture.json);
    return real.success ? checkReal(fixture, real.output) : undefined;
  },
};

function checkFormula({ tensors, name }: Fixture, json: v.InferOutput<typeof formulaSchema>): Check {
  return async (backend) => {
    const picture = requireTensor(tensors, 'picture', name);
    const side = picture.shape[2]!;
    const model = new Taesd({ ...json.network, inputSize: side, inChannels: 3, factor: 8, width: 64 });
    const parameters = [...model.parameters()];
    const keysOf = (half: 'encoder' | 'decoder') =>
      parameters
        .filter((parameter) => parameter.name.startsWith(`${half}.`))
        .map((parameter) => [parameter.name.slice(half.length + 1), parameter.shape] as const);
    const leaf = inputsFrom(tensors, name);
    const outputs = { latents: model.encode(leaf('picture')), decoded: model.decode(leaf('z')) };
    const values = await runGraph(outputs, tensors, backend, formulaWeights(model));
    return {
      comparisons: [
        compareExactly('encoder keys', keysOf('encoder'), Object.entries(json.encoder_keys)),
        compareExactly('decoder keys', keysOf('decoder'), Object.entries(json.decoder_keys)),
        ...Object.entries(json.diffusers_names).map(([key, published]) =>
          compareExactly(published, checkpointKeyOfTaesd(published), key),
        ),
        ...Object.keys(outputs).map((output) =>
          compareTensors(output, values.get(output), requireTensor(tensors, output, name), {
            relL2: json.tolerance.relative_l2,
          }),
        ),
      ],
    };
  };
}

/** Each half counts its tensors from 0. */
function formulaWeights(model: Taesd): TensorMap {
  const positions = { encoder: 0, decoder: 0 };
  return new Map(
    [...model.parameters()].map(({ name, shape }) => {
      const half = name.startsWith('encoder.') ? 'encoder' : 'decoder';
      const spread = shape.length > 1 ? spreadOverInputs(shape, 12) : 0.05;
      return [name, formulaTensor(positions[half]++, spread, shape)];
    }),
  );
}

function checkReal(fixture: Fixture, json: v.InferOutput<typeof realSchema>): Check {
  return async (backend) => {
    const [encoderPath] = json.weights.split(' ');
    const { network: model, weights } = await openCheckpoint(resolve(dirname(fixture.path), encoderPath!), {
      role: 'autoencoder',
    });
    const results: CheckResult[] = [];
    for (const [name, { psnr }] of Object.entries(json.pictures)) {
      const [picture, latents, decoded] = ['picture', 'latents', 'decoded'].map((part) =>
        requireTensor(fixture.tensors, `${name}.${part}`, fixture.name),
      ) as [HostTensor, HostTensor, HostTensor];
      const x = unitPicture(picture);
      const computed = await throughBoth(model as Taesd, weights, x, latents, backend);
      const relative = { relL2: json.tolerance.relative_l2 };
      results.push({
        comparisons: [
          compareTensors(`${name}.latents`, computed.get('latents'), latents, relative),
          compareTensors(`${name}.decoded`, computed.get('decoded'), decoded, relative),
          comparePsnr(`${name} PSNR`, computed.get('decoded')!, x, psnr, json.tolerance.psnr),
        ],
      });
    }
    const { latentChannels, middleNorm } = (model as Taesd).config;
    return {
      comparisons: [
        compareExactly('network', { latentChannels, middleNorm }, json.network),
        ...results.flatMap(({ comparisons }) => comparisons),
      ],
    };
  };
}

function unitPicture({ shape, data }: HostTensor): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    Float32Array.from(data as Uint8Array, (byte) => byte / 255),
  );
}

async function throughBoth(
  model: Taesd,
  weights: TensorMap,
  x: HostTensor,
  latents: HostTensor,
  backend: Backend,
): Promise<TensorMap> {
  const feeds = new Map([
    ['x', x],
    ['latents', latents],
  ]);
  const leaf = inputsFrom(feeds, 'TAESD');
  return runGraph(
    { latents: model.encode(leaf('x')), decoded: model.decode(leaf('latents')) },
    feeds,
    backend,
    weights,
  );
}

/** Of pictures in [0, 1], those decoded cut off at both ends. */
function comparePsnr(
  quantity: string,
  decoded: HostTensor,
  picture: HostTensor<'f32'>,
  expected: number,
  absolute: number,
): Comparison {
  const values = Array.from(toNumbers(decoded), (value) => Math.min(Math.max(value, 0), 1));
  const squares = values.map((value, i) => (value - picture.data[i]!) ** 2);
  const meanSquare = squares.reduce((total, square) => total + square, 0) / squares.length;
  return compareNumbers(quantity, [-10 * Math.log10(meanSquare)], [expected], { absolute });
}
