/** @file The sets of weights in a checkpoint of udit, told apart by what their names begin with. */
import { OPTIMIZER_GROUP, type WeightSet, type WeightSource, weightsPrefix } from './saved-model.ts';

export interface ChosenWeights {
  readonly source: WeightSource;
  /** Names in the file by the names that a model has for them. */
  readonly names: ReadonlyMap<string, string>;
  /** What its names begin with, where that is not `source`. */
  readonly prefix?: string;
  /** The other sets, by what their names begin with. */
  readonly others: readonly string[];
}

/**
 * One set of a checkpoint that udit wrote; a file of bare names may say in its metadata which set it holds.
 *
 * @param wanted - where it is not there, or undefined, the usual one is chosen
 */
export function chooseOwnWeights(
  allNames: readonly string[],
  wanted: WeightSet | undefined,
  metadata: Readonly<Record<string, string>>,
): ChosenWeights {
  const sets = ownSets(allNames, metadata);
  if (sets.length === 0) {
    const source = metadata.weights ?? 'model';
    return { source, names: new Map(allNames.map((name) => [name, name])), others: [] };
  }
  const source = wanted !== undefined && sets.includes(wanted) ? wanted : preferredSet(sets);
  const prefix = weightsPrefix(source);
  const members = allNames.filter((name) => name.startsWith(prefix));
  return { source, names: new Map(members.map((name) => [name.slice(prefix.length), name])), others: [] };
}

/** The sets of weights in a training checkpoint, in their order; none in a file of bare names. */
export function ownSets(
  allNames: readonly string[],
  { weights }: Readonly<Record<string, string>>,
): readonly WeightSet[] {
  const isTraining =
    weights === undefined && allNames.some((name) => name.startsWith(weightsPrefix('model')));
  if (!isTraining) return [];
  const groups = new Set(allNames.map((name) => name.slice(0, name.indexOf('.'))));
  return [...groups].filter((group) => group !== OPTIMIZER_GROUP);
}

/** Which of these sets is meant where nobody says: an average, and `ema` before others. */
export function preferredSet(sets: readonly WeightSet[]): WeightSet {
  return sets.find((set) => set === 'ema') ?? sets.find((set) => set !== 'model') ?? 'model';
}
