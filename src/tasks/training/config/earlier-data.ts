/**
 * @file Data as configurations of 0.1.0 state them: a `path` says which are meant, and all have the same options. They are
 * read as data of a kind, in configurations and flags as in the folders of runs.
 */
import { ConfigError } from '../../../core/errors.ts';
import { type ConfigLayer, isLayer } from './config-layer.ts';

/** Gives data that are named by their path alone their kind. */
export function withDataKind(layer: ConfigLayer): ConfigLayer {
  const { data } = layer;
  if (!isLayer(data) || data.kind !== undefined || data.path === undefined) return layer;
  const { path, ...options } = data;
  const named = path === 'emoji' || path === 'emoji-3d' ? { kind: path } : { kind: 'folder', path };
  return { ...layer, data: { ...named, ...options } };
}

/**
 * Takes away what never said anything about data of their kind.
 *
 * @throws ConfigError for a colour behind emoji
 */
export function withoutIdleOptions(config: ConfigLayer): ConfigLayer {
  return isLayer(config.data) ? { ...config, data: activeOptions(config.data) } : config;
}

function activeOptions(data: ConfigLayer): ConfigLayer {
  if (data.kind === 'folder' && data.augment === 'emoji') return { ...data, augment: 'flip' };
  if (data.kind !== 'emoji' && data.kind !== 'emoji-3d') return data;
  const { background, strict, ...rest } = data;
  if (background === 'black' || String(background).startsWith('#')) {
    throw new ConfigError({
      where: 'configuration: data.background',
      problem: `it is ${background}, but emoji are drawn on white`,
      fix: 'leave it out, or choose a folder of pictures with --data-path',
    });
  }
  return {
    ...rest,
    ...(background === undefined || background === 'white' || background === 'drop' ? {} : { background }),
    ...(strict === undefined || typeof strict === 'boolean' ? {} : { strict }),
  };
}
