/** @file The presets, shrunk to what runs in a moment: everything but their size stays. */
import { PRESETS, presetSpec } from '../../src/networks/presets.ts';
import type { ModelSpec } from '../../src/networks/registry.ts';

const TINY = { 'U-DiT': { depth: [1, 1, 1, 1, 1] }, DiT: { depth: 2 }, 'DiT-LLaMA': { depth: 2 } };

export function tinyPreset(name: string): ModelSpec {
  const { family } = PRESETS[name]!;
  return presetSpec(name, { inputSize: 16, width: 16, heads: 2, numClasses: 5, ...TINY[family] });
}

/** Presets that differ in their size alone are the same model here. */
export const DISTINCT_PRESETS: readonly string[] = [
  ...new Map(Object.keys(PRESETS).map((name) => [JSON.stringify(tinyPreset(name)), name])).values(),
];
