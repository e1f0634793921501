import { expect, test } from 'vitest';
import { type HostTensor, tensorOf } from './host-tensor.ts';
import { readTensors, sourceOf } from './tensor-source.ts';

const tensors = new Map<string, HostTensor>([
  ['b', tensorOf('f32', [2], [1, 2])],
  ['a', tensorOf('i64', [], [3])],
]);

test('tensors in memory are a source, in their order', async () => {
  const source = sourceOf(tensors);
  expect([...source.infos.keys()]).toEqual(['b', 'a']);
  expect(await source.read('a')).toBe(tensors.get('a'));
  expect(await readTensors(source)).toEqual(tensors);
  expect([...(await readTensors(source, ['a'])).keys()]).toEqual(['a']);
});
