import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../../formats/file-node.ts';
import { clippingScale, gradientNorm } from './clipping.ts';

describe('clipping', () => {
  test('the norm is PyTorch’s', async () => {
    const fixture = new URL('../../../../test/fixtures/training/dit_drop/', import.meta.url);
    const recorded = JSON.parse(await readFile(new URL('expected.json', fixture), 'utf8'));
    const { tensors } = await readSafetensors(fileURLToPath(new URL('grads_step1.safetensors', fixture)));
    const gradients = [...tensors]
      .filter(([name]) => name !== 'pos_embed')
      .flatMap(([, { data }]) => Array.from(data, Number));
    expect(gradientNorm(Float32Array.from(gradients))).toBeCloseTo(recorded.grad_global_l2, 6);
  });

  test('the norm of all gradients together', () => {
    expect(gradientNorm(Float32Array.of(3, 0, -4))).toBe(5);
    expect(gradientNorm(new Float32Array(0))).toBe(0);
    expect(gradientNorm(Float32Array.of(1, Number.NaN))).toBeNaN();
    // Squares beyond float32 are no trouble.
    expect(gradientNorm(Float32Array.of(3e30, 4e30)) / 5e30).toBeCloseTo(1, 6);
  });

  test('brings a norm that is too large down to the largest allowed, and leaves others', () => {
    expect(clippingScale(0.5, 1)).toBe(1);
    expect(4 * clippingScale(4, 1)).toBeCloseTo(1, 6);
    expect(clippingScale(1e9, null)).toBe(1);
  });
});
