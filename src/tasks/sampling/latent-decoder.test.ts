import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, slice, sum } from '../../engine/graph/operators.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import type { SavedNetwork } from '../../models/saved-model.ts';
import { AutoencoderKL } from '../../networks/autoencoders/autoencoder-kl.ts';
import { Taesd } from '../../networks/autoencoders/taesd.ts';
import { initialise } from '../../networks/nn/initialise.ts';
import { createDecoder } from './latent-decoder.ts';

const key = randomKey(4);
const common = { inputSize: 16, inChannels: 3, latentChannels: 2 };

describe.each([
  [
    'AutoencoderKL',
    new AutoencoderKL({
      ...{ ...common, factor: 2, levelChannels: [4, 8] },
      ...{ layersPerLevel: 1, normGroups: 2, midAttention: true, quantConv: true },
    }),
  ],
  ['TAESD', new Taesd({ ...common, factor: 8, width: 4, middleNorm: false })],
] as const)('%s', (family, network) => {
  const { factor } = network.config;
  const weights = initialise(network, network.initRule, key);
  const space = { kind: 'latents', autoencoder: '', factor, scale: [0.5, 2], shift: [1, -1] } as const;
  const saved = {
    network,
    weights,
    card: {
      role: 'autoencoder',
      name: 'tiny',
      spec: { family, config: network.config },
      space,
      step: 0,
      nimg: 0,
    },
  } as Pick<SavedNetwork<'autoencoder'>, 'network' | 'weights' | 'card'>;

  test('decodes a batch picture by picture, from the scale of the model to [−1, 1]', async () => {
    const size = { height: 2, width: 4 };
    const shape = [2, 2, 2, 4];
    const latents = hostTensor('f32', shape, normal(fold(key, 'z'), sizeOf(shape)));
    const decoder = await createDecoder(saved, {
      drawn: { name: 'model', space, config: { inChannels: 2 } },
      size,
      backend: cpuBackend,
    });
    const pictures = await decoder.decode(latents);
    await decoder.release();
    expect(pictures.shape).toEqual([2, ...decoder.decodedShape(shape.slice(1))]);

    const [black, white] = network.pictureRange;
    const z = input('z', shape);
    const raw = Float32Array.from(latents.data, (value, i) => {
      const channel = Math.floor(i / 8) % 2;
      return value / space.scale[channel]! + space.shift[channel]!;
    });
    const feeds = new Map([...weights, ['z', hostTensor('f32', shape, raw)] as const]);
    const decoded = evaluate(graphOf({ decoded: network.decode(z) }), feeds).get('decoded')!.data;
    const expected = Array.from(decoded, (value) => (2 * (value - black)) / (white - black) - 1);
    expectClose(pictures.data, expected, { relative: 1e-5 });
  });
});

describe('tiles', () => {
  const tiny = new Taesd({ ...common, factor: 8, width: 2, middleNorm: false });
  const normed = new Taesd({ ...common, factor: 8, width: 2, middleNorm: true });
  const space = { kind: 'latents', autoencoder: '', factor: 8, scale: 1, shift: 0 } as const;
  const shape = [1, 2, 6, 44];
  const latents = hostTensor('f32', shape, normal(fold(key, 'tiled'), sizeOf(shape)));
  const decoded = async (network: Taesd, tile?: number) => {
    const card = { name: 'tiny', space, spec: { family: 'TAESD', config: network.config } };
    const weights = initialise(network, network.initRule, key);
    const decoder = await createDecoder({ network, weights, card } as never, {
      ...{ drawn: { name: 'model', space, config: { inChannels: 2 } }, backend: cpuBackend, tile },
      size: { height: 6, width: 44 },
    });
    const picture = await decoder.decode(latents);
    await decoder.release();
    return { ...decoder, picture };
  };

  test('give the whole picture where a pixel depends on what is near alone, with less memory', async () => {
    const [whole, tiled] = [await decoded(tiny), await decoded(tiny, 4)];
    expectClose(tiled.picture.data, whole.picture.data, { relative: 1e-6 });
    expect([tiled.isExact, tiled.tileSize]).toEqual([true, { height: 48, width: 8 * (4 + 2 * 19) }]);
    expect(tiled.memory).toBeLessThan(whole.memory);
  });

  test('of such a network, latents within its reach matter to a pixel, and no others', () => {
    const z = input('z', [1, 2, 1, 44]);
    const [slope] = gradients(sum(slice(tiny.decode(z), 3, 0, tiny.config.factor)), [z]);
    // Weights and latents are positive, so that no ReLU hides what reaches the pixels, and nothing cancels.
    const feeds = [...tiny.parameters(), { name: 'z', shape: z.shape }].map(
      ({ name, shape }) =>
        [name, hostTensor('f32', shape, new Float32Array(sizeOf(shape)).fill(0.1))] as const,
    );
    const { data } = evaluate(graphOf({ slope: slope! }), new Map(feeds)).get('slope')!;
    const matters = Array.from({ length: 44 }, (_, column) => data[column]! > 0);
    expect(matters.lastIndexOf(true)).toBe(tiny.decoderReach);
    expect(matters.indexOf(false)).toBe(tiny.decoderReach! + 1);
  });

  test('fade into each other where norms see the whole picture', async () => {
    const [whole, tiled] = [await decoded(normed), await decoded(normed, 16)];
    expect(tiled.isExact).toBe(false);
    const difference = tiled.picture.data.map((value, i) => value - whole.picture.data[i]!);
    const [error, norm] = [difference, whole.picture.data].map((values) => Math.hypot(...values)) as [
      number,
      number,
    ];
    expect(error / norm).toBeLessThan(0.1);
  });
});
