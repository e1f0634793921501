/**
 * @file In 0.1.0 a run had one average, `ema`, set by two keys of the optimizer. The keys are still read, and change the
 * average of this name.
 */
import { ConfigError } from '../../../core/errors.ts';
import { type ConfigLayer, isLayer, overlay } from './config-layer.ts';

/** Earlier keys with those that an exponential average has for them. */
const KEYS = { emaDecay: 'decay', emaWarmup: 'warmup' } as const;

export const EARLIER_OPTIMIZER_KEYS: readonly string[] = Object.keys(KEYS);

/** Settings of the average `ema`. */
type EmaSettings = Readonly<Record<string, unknown>>;

/** Layers laid over each other, and apart from them what they say of the average in the earlier way. */
export function separateEma(layers: readonly ConfigLayer[]): {
  readonly given: ConfigLayer;
  readonly ema: EmaSettings;
} {
  let given: ConfigLayer = {};
  let ema: EmaSettings = {};
  for (const layer of layers) {
    const { optimizer, ...rest } = layer;
    // Averages that are given whole replace all that was said before.
    if ('averages' in layer) ema = {};
    if (isLayer(optimizer)) {
      const entries = Object.entries(optimizer);
      const isEarlier = ([key]: readonly [string, unknown]) => key in KEYS;
      const settings = entries
        .filter(isEarlier)
        .map(([key, value]) => [KEYS[key as keyof typeof KEYS], value] as const);
      ema = { ...ema, ...Object.fromEntries(settings) };
      given = overlay(given, {
        ...rest,
        optimizer: Object.fromEntries(entries.filter((entry) => !isEarlier(entry))),
      });
    } else {
      given = overlay(given, layer);
    }
  }
  return { given, ema };
}

/** @throws ConfigError if there are settings, but no such average */
export function withEma(config: ConfigLayer, settings: EmaSettings): ConfigLayer {
  if (Object.keys(settings).length === 0) return config;
  const averages: readonly unknown[] = Array.isArray(config.averages) ? config.averages : [];
  const isEma = (average: unknown) =>
    isLayer(average) && average.name === 'ema' && average.kind === 'exponential';
  if (!averages.some(isEma)) {
    const [key] = EARLIER_OPTIMIZER_KEYS.filter((earlier) => KEYS[earlier as keyof typeof KEYS] in settings);
    throw new ConfigError({
      where: `configuration: optimizer.${key}`,
      problem: 'it sets the exponential average ema, and averages has none of this name',
      fix: 'leave it out, and set the averages themselves',
    });
  }
  return {
    ...config,
    averages: averages.map((average) => (isEma(average) ? { ...(average as object), ...settings } : average)),
  };
}

/** The configuration of a run that 0.1.0 began, in the way of today. */
export function withAverages(config: ConfigLayer): ConfigLayer {
  const { given, ema } = separateEma([config]);
  if (Object.keys(ema).length === 0) return config;
  return overlay({ averages: [{ name: 'ema', kind: 'exponential', ...ema }] }, given);
}
