import { describe, expect, test } from 'vitest';
import type { TensorMap } from '../core/host-tensor.ts';
import { hostTensor } from '../core/host-tensor.ts';
import { randomKey } from '../core/random.ts';
import { sourceOf } from '../core/tensor-source.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { DINOV2_PRESETS, DINOv2 } from '../networks/features/dinov2.ts';
import type { FeatureNetwork } from '../networks/features/feature-network.ts';
import { INCEPTION_PRESETS, InceptionV3 } from '../networks/features/inception.ts';
import { initialise } from '../networks/nn/initialise.ts';
import { findNetwork, loadNetwork } from './open-model.ts';

/** A file with the tensors of a network, of which names and shapes alone are looked at. */
function shapesOf(
  network: FeatureNetwork,
  more: Readonly<Record<string, readonly number[]>> = {},
): TensorFile {
  const shapes = [...network.parameters()].map(({ name, shape }) => [name, shape] as const);
  return {
    format: 'PyTorch',
    metadata: {},
    infos: new Map(
      [...shapes, ...Object.entries(more)].map(([name, shape]) => [name, { dtype: 'f32', shape }]),
    ),
    read: () => Promise.reject(new Error('no tensor is read')),
  };
}

const role = 'features' as const;

test('the Inception of pytorch-fid is recognised, and its counters are not used', () => {
  const network = new InceptionV3(INCEPTION_PRESETS['FID-Inception']!);
  const file = shapesOf(network, { 'Conv2d_1a_3x3.bn.num_batches_tracked': [] });
  const { card, findings, ...found } = findNetwork(file, 'pt_inception.pth', { role });
  expect(found.network).toBeInstanceOf(InceptionV3);
  expect(card).toMatchObject({
    role,
    name: 'FID-Inception',
    spec: { family: 'Inception-v3', config: network.config },
  });
  expect(findings).toEqual([
    ['network', 'FID-Inception, recognised by the shapes of its tensors'],
    ['not used', 'Conv2d_1a_3x3.bn.num_batches_tracked'],
  ]);
});

describe('DINOv2', () => {
  test.each(Object.entries(DINOV2_PRESETS))('%s is recognised', (name, config) => {
    const file = shapesOf(new DINOv2(config), { mask_token: [1, config.width] });
    const { card, findings } = findNetwork(file, 'pretrain.pth', { role });
    expect(card).toMatchObject({ name, spec: { family: 'DINOv2', config } });
    expect(findings.at(-1)).toEqual(['not used', 'mask_token']);
  });

  test('is opened with its weights', async () => {
    const config = { ...DINOV2_PRESETS['DINOv2-S/14']!, width: 64, depth: 2, heads: 1, positions: 3 };
    const network = new DINOv2(config);
    const weights: TensorMap = initialise(network, network.initRule, randomKey(1));
    const file: TensorFile = { format: 'PyTorch', metadata: {}, ...sourceOf(weights) };
    const opened = await loadNetwork(file, 'small.pth', { role });
    expect(opened.network.config).toEqual(config);
    expect(opened.weights).toEqual(weights);
  });
});

describe('what is none is refused', () => {
  const fileOf = (...names: string[]): TensorFile => ({
    format: 'PyTorch',
    metadata: {},
    ...sourceOf(new Map(names.map((name) => [name, hostTensor('f32', [1], Float32Array.of(1))]))),
  });

  test('another network, by what it is', () => {
    expect(() => findNetwork(fileOf('x_embedder.proj.weight'), 'dit.pt', { role })).toThrowError(
      'this file is a denoiser; a feature network is needed',
    );
    const inception = shapesOf(new InceptionV3(INCEPTION_PRESETS['FID-Inception']!));
    expect(() => findNetwork(inception, 'pt_inception.pth')).toThrowError(
      'this file is a feature network; a denoiser is needed',
    );
  });

  test('a vision transformer of another kind', () => {
    expect(() =>
      findNetwork(fileOf('cls_token', 'head.weight'), 'vit.pt', { role }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: vit.pt: its 2 tensors fit no known feature network
        tensors  cls_token   head.weight …
        fix: give the weights of pytorch-fid's Inception, or of DINOv2 without registers]
    `);
    expect(() =>
      findNetwork(fileOf('conv1.weight'), 'resnet.pt', { role }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: resnet.pt: a PyTorch file of 1 tensors, but none of them is the first of a feature network (Conv2d_1a_3x3.conv.weight or cls_token)
        tensors  conv1.weight
        fix: give the weights of FID-Inception or DINOv2]
    `);
  });
});
