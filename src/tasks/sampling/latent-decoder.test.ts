import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
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
