/** @file From DiT-UNet to U-DiT step by step: each is a value of the configuration, and costs what the paper says. */
import { describe, expect, test } from 'vitest';
import { macsOf, sumMacs, totalMacs } from '../../engine/graph/macs.ts';
import { type ConfigOverrides, presetSpec } from '../presets.ts';
import { createModel } from '../registry.ts';
import { traceNetwork } from '../trace.ts';

const macsOfPreset = (preset: string, change: ConfigOverrides = {}): number =>
  totalMacs(sumMacs(macsOf([traceNetwork(createModel(presetSpec(preset, change))).outputs.prediction])));

const COSINE = { attention: 'cosine' } as const;
const ROPE = { ...COSINE, position: 'rope2d' } as const;

describe('GMACs within 2 % of the paper', () => {
  test.each<[table: string, paper: number, preset: string, change: ConfigOverrides]>([
    ['Tables 1 and 9: DiT-UNet', 1.4, 'DiT-UNet', {}],
    ['Table 9: DiT-UNet (Slim)', 0.92, 'DiT-UNet-Slim', {}],
    ['Table 1: + key-value downsampling', 0.91, 'DiT-UNet-KV', {}],
    ['Tables 1, 7 and 9: + token downsampling', 0.91, 'U-DiT-T', {}],
    ['Table 7: pixel shuffle only', 0.89, 'U-DiT-T', { downsampler: 'pixel-shuffle' }],
    ['Table 7: without shortcut', 0.91, 'U-DiT-T', { downShortcut: false }],
    ['Table 9: + cosine similarity', 0.91, 'U-DiT-T', COSINE],
    ['Table 9: + RoPE2D', 0.91, 'U-DiT-T', ROPE],
    ['Table 9: + DWconv FFN', 0.95, 'U-DiT-T', { ...ROPE, ffn: 'dwconv' }],
    ['Table 9: + re-param.', 0.95, 'U-DiT-T', { ...ROPE, ffn: 'rep' }],
    // Of published size.
    ['Table 10: U-DiT-S, vanilla', 5.91, 'U-DiT-S', { attention: 'dot', position: 'none', ffn: 'basic' }],
    ['Table 10: U-DiT-S', 6.04, 'U-DiT-S', {}],
    ['Table 6: U-DiT-B at 512×512', 106.7, 'U-DiT-B', { inputSize: 64 }],
  ])('%s: %f', (_, paper, preset, change) => {
    expect(Math.abs(macsOfPreset(preset, change) / 1e9 / paper - 1)).toBeLessThan(0.02);
  });
});

test('a model of toy size is one of full size but for its numbers', () => {
  const { config: toy } = presetSpec('U-DiT-T', { ...ROPE, ffn: 'rep' });
  const { config: full } = presetSpec('U-DiT-S');
  const sizes = { width: 0, heads: 0, depth: [], mlpRatio: 0 };
  expect({ ...toy, ...sizes }).toEqual({ ...full, ...sizes });
});
