/** @file Data whose kind is seen by what lies at their path. */
import { holdsLatents } from '../../../data/datasets/latents/open-latents-node.ts';
import { type ConfigLayer, isLayer } from '../config/config-layer.ts';

/** Gives data at a path that holds latents their kind, where no layer names one. */
export async function withRecognisedData(layers: readonly ConfigLayer[]): Promise<ConfigLayer[]> {
  if (layers.some(({ data }) => isLayer(data) && data.kind !== undefined)) return [...layers];
  return Promise.all(layers.map(recognised));
}

async function recognised(layer: ConfigLayer): Promise<ConfigLayer> {
  const { data } = layer;
  if (!isLayer(data) || typeof data.path !== 'string') return layer;
  return (await holdsLatents(data.path)) ? { ...layer, data: { kind: 'latents', ...data } } : layer;
}
