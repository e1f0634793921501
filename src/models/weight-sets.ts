/** @file The sets of weights in a file of any origin, told apart by what their names begin with. */
import { GROUP_PREFIX, type WeightSet, type WeightSource } from './saved-model.ts';

export interface ChosenWeights {
  readonly source: WeightSource;
  /** Names in the file by the names that a model has for them. */
  readonly names: ReadonlyMap<string, string>;
  /** The other sets, by what their names begin with. */
  readonly others: readonly string[];
}

/** Every family has it, and has it once: what comes before it in a file comes before all of a set. */
const TELLTALE = 'x_embedder.proj.weight';

const AVERAGE = /(^|[._])ema([._]|$)/;

/** One of the sets of a file of another program, such as `{model, ema}` or one below `module.`; undefined if there is none. */
export function chooseWeights(allNames: readonly string[], prefer: WeightSet): ChosenWeights | undefined {
  const prefixes = allNames
    .filter((name) => name === TELLTALE || name.endsWith(`.${TELLTALE}`))
    .map((name) => name.slice(0, -TELLTALE.length));
  const isPreferred = (prefix: string): boolean => AVERAGE.test(prefix) === (prefer === 'ema');
  const chosen = prefixes.find(isPreferred) ?? prefixes[0];
  if (chosen === undefined) return undefined;
  const others = prefixes.filter((prefix) => prefix !== chosen);
  const inOthers = others.filter((prefix) => prefix.startsWith(chosen));
  const members = allNames.filter(
    (name) => name.startsWith(chosen) && !inOthers.some((prefix) => name.startsWith(prefix)),
  );
  const lastWeights = others.length > 0 ? 'model' : 'unnamed';
  return {
    source: AVERAGE.test(chosen) ? 'ema' : lastWeights,
    names: new Map(members.map((name) => [name.slice(chosen.length), name])),
    others,
  };
}

/** The same of a checkpoint that udit wrote; a file of bare names may say in its metadata which set it holds. */
export function chooseOwnWeights(
  allNames: readonly string[],
  prefer: WeightSet,
  metadata: Readonly<Record<string, string>>,
): ChosenWeights {
  const prefix = GROUP_PREFIX[prefer];
  const members = allNames.filter((name) => name.startsWith(prefix));
  if (members.length > 0) {
    return {
      source: prefer,
      names: new Map(members.map((name) => [name.slice(prefix.length), name])),
      others: [],
    };
  }
  const { weights: named } = metadata;
  const source = named === 'ema' || named === 'unnamed' ? named : 'model';
  return { source, names: new Map(allNames.map((name) => [name, name])), others: [] };
}
