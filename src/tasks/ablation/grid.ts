/** @file A grid of trainings: variants of one configuration, each with every seed. */
import { ConfigError } from '../../core/errors.ts';
import { type ConfigLayer, isLayer, layerOf, overlay } from '../training/config/config-layer.ts';
import { resolveTrainConfig, type TrainConfig } from '../training/config/train-config.ts';
import { type GridFile, parseGridFile } from './grid-schema.ts';

/** A row of the table: what differs from the base, under a name. */
export interface Variant {
  readonly name: string;
  /** Its folder among the cells. */
  readonly folder: string;
  readonly layer: ConfigLayer;
}

export interface Grid extends Omit<GridFile, 'variants' | 'axes'> {
  /** Of the file, without `.json`. */
  readonly name: string;
  /** At least one; axes are multiplied out. */
  readonly variants: readonly Variant[];
}

/** What a cell decides for itself, so that a grid must not. */
const DECIDED = [
  ['training.seed', 'seeds'],
  ['training.steps', 'budget'],
] as const;

/**
 * @param where - what the user calls the file
 * @throws ConfigError if it is no grid, has no cells, or two cells of one name
 */
export function parseGrid(content: unknown, where: string, name: string): Grid {
  const file = parseGridFile(content, where);
  const { variants: named, axes, ...rest } = file;
  if (rest.seeds.length === 0) throw emptyGrid(where, 'seeds');
  for (const [key, values] of Object.entries(axes)) {
    if (values.length === 0) throw emptyGrid(where, `axes.${key}`);
  }
  if (named.length === 0 && Object.keys(axes).length === 0) throw emptyGrid(where, 'variants');
  const starts = named.length === 0 ? [{ name: '', set: {} }] : named;
  const variants = starts.flatMap((start) => multiplyOut(start, Object.entries(axes), where)).map(withFolder);
  expectDistinct(variants, where);
  expectDistinctSeeds(rest.seeds, where);
  for (const layer of [rest.base, ...variants.map((variant) => variant.layer)]) expectUndecided(layer, where);
  return { name, ...rest, variants };
}

interface NamedLayer {
  readonly name: string;
  readonly layer: ConfigLayer;
}

/** Each combination of the axes' values, named after them: `small, learningRate=0.001`. */
function multiplyOut(
  { name, set }: GridFile['variants'][number],
  axes: readonly (readonly [key: string, values: readonly unknown[]])[],
  where: string,
): NamedLayer[] {
  const shared = axes.find(([key]) => Object.hasOwn(set, key));
  if (shared !== undefined) {
    throw new ConfigError({
      where,
      problem: `${shared[0]} is an axis, but variant "${name}" also sets it to ${JSON.stringify(set[shared[0]])}`,
      fix: 'set it in one of them only',
    });
  }
  const start = { name, layer: layered(set) };
  return axes.reduce<NamedLayer[]>(
    (combinations, [key, values]) =>
      combinations.flatMap((combination) =>
        values.map((value) => ({
          name: [combination.name, `${key.split('.').at(-1)}=${shownValue(value)}`]
            .filter((part) => part !== '')
            .join(', '),
          layer: overlay(combination.layer, layerOf(key, value)),
        })),
      ),
    [start],
  );
}

function layered(assignments: ConfigLayer): ConfigLayer {
  return Object.entries(assignments)
    .map(([key, value]) => layerOf(key, value))
    .reduce(overlay, {});
}

function shownValue(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function withFolder({ name, layer }: NamedLayer): Variant {
  const folder = name
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}.]+/gu, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '');
  return { name, layer, folder: folder === '' ? 'variant' : folder };
}

function expectDistinct(variants: readonly Variant[], where: string): void {
  variants.forEach(({ name, folder }, i) => {
    const other = variants.slice(0, i).find((earlier) => earlier.folder === folder);
    if (other === undefined) return;
    throw new ConfigError({
      where,
      problem:
        other.name === name
          ? `two variants are called "${name}"`
          : `variants "${other.name}" and "${name}" would share the folder ${folder}`,
      fix: 'give each a name of its own',
    });
  });
}

function expectDistinctSeeds(seeds: readonly number[], where: string): void {
  const again = seeds.find((seed, i) => seeds.indexOf(seed) !== i);
  if (again === undefined) return;
  throw new ConfigError({
    where: `${where}: seeds`,
    problem: `seed ${again} is given twice, and would repeat the same training`,
    fix: 'give each seed once',
  });
}

function expectUndecided(layer: ConfigLayer, where: string): void {
  for (const [key, part] of DECIDED) {
    const [section, name] = key.split('.') as [string, string];
    const values = layer[section];
    if (!isLayer(values) || values[name] === undefined) continue;
    throw new ConfigError({
      where,
      problem: `${key} is set to ${JSON.stringify(values[name])}, but cells get it from ${part}`,
      fix: `leave it out, and change ${part}`,
    });
  }
}

function emptyGrid(where: string, part: string): ConfigError {
  return new ConfigError({
    where,
    problem: `the grid has no cells: ${part} is empty`,
    fix: part === 'variants' ? 'name at least one variant, or give axes' : 'give it at least one value',
  });
}

/** Points of the curves over a run, and how often an interruption loses nothing. */
const MEASUREMENTS_PER_RUN = 20;

/**
 * The configuration of a cell. Where the base says nothing, the held-out loss is measured twenty times, as often a
 * checkpoint is written, and no sample sheets are drawn.
 *
 * @param defaults - of the run in the cell's folder
 * @throws ConfigError naming the variant
 */
export function cellConfig(
  grid: Pick<Grid, 'base' | 'name'>,
  variant: Variant,
  { seed, steps }: { readonly seed: number; readonly steps: number },
  defaults: ConfigLayer = {},
): TrainConfig {
  const every = Math.max(1, Math.round(steps / MEASUREMENTS_PER_RUN));
  const habits = { logging: { sampleEvery: null, evaluateEvery: every, ckptEvery: every, keepLast: 1 } };
  try {
    return resolveTrainConfig([defaults, habits, grid.base, variant.layer, { training: { seed, steps } }]);
  } catch (cause) {
    throw inVariant(cause, variant);
  }
}

/** The same error, saying in which row of the grid it is. */
export function inVariant(error: unknown, { name }: Variant): unknown {
  if (!(error instanceof ConfigError)) return error;
  const { where, problem, facts, fix } = error;
  return new ConfigError({
    where: `variant "${name}": ${where}`,
    problem,
    facts,
    ...(fix === undefined ? {} : { fix }),
    cause: error,
  });
}
