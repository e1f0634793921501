/** @file The sets of weights in a file of another program, told apart by what their names begin with. */
import type { Role } from '../networks/family.ts';
import { DIFFUSERS_PATCHES } from './diffusers-names.ts';
import type { ChosenWeights } from './weight-sets.ts';

/** Every network of a role has one of them once: what comes before it in a file comes before all of a set. */
const TELLTALES: Readonly<Record<Role, readonly string[]>> = {
  denoiser: ['x_embedder.proj.weight', DIFFUSERS_PATCHES],
  autoencoder: ['encoder.conv_in.weight', 'encoder.0.weight', 'encoder.layers.0.weight'],
  features: ['Conv2d_1a_3x3.conv.weight', 'cls_token'],
};

/** What PyTorch puts into names where a module is compiled, recomputed, sharded or copied over devices. */
const WRAPPERS = new Set(['module', '_orig_mod', '_checkpoint_wrapped_module', '_fsdp_wrapped_module']);

/** `ema`, `EMA`, `ema-0.9999`, `model_ema1`, `state_dict_ema`, `EMACallback`, `swa_model`, `moving_average`. */
const AVERAGE = /(?<![A-Za-z])(emas?|swa|avg|averaged?|shadow)(?![a-z])|(?<![A-Z])(EMA|SWA)|moving_?average/;

interface NamedSet {
  /** What its names begin with. */
  readonly prefix: string;
  readonly names: ReadonlyMap<string, string>;
}

/**
 * One of the sets of a file, such as `{model, ema}` or one below `module.`; undefined if there is none.
 *
 * @param wanted - `ema` (the first average), `model` (the first other set), or what the names of a set begin with
 */
export function chooseForeignWeights(
  allNames: readonly string[],
  wanted: string,
  role: Role,
): ChosenWeights | undefined {
  const sets = setsOf(allNames, TELLTALES[role]);
  const asked = sets.find(({ prefix }) => prefix !== '' && `.${prefix}`.includes(`.${wanted}.`));
  const usual = sets.find((set) => isAverage(set) === (wanted === 'ema')) ?? sets[0];
  const isUsual = wanted === 'ema' || wanted === 'model';
  const chosen = isUsual ? usual : (asked ?? usual);
  if (chosen === undefined) return undefined;
  const others = sets.filter((set) => set !== chosen).map(({ prefix }) => prefix);
  const kind = isAverage(chosen) ? 'ema' : others.length > 0 ? 'model' : 'unnamed';
  return {
    source: chosen === asked && !isUsual ? wanted : kind,
    names: chosen.names,
    prefix: chosen.prefix,
    others,
  };
}

function isAverage({ prefix }: NamedSet): boolean {
  return AVERAGE.test(prefix);
}

function setsOf(allNames: readonly string[], telltales: readonly string[]): NamedSet[] {
  const names = unwrapped(allNames);
  const prefixes = [...names.keys()].flatMap((name) => {
    const telltale = telltales.find((end) => `.${name}`.endsWith(`.${end}`));
    return telltale === undefined ? [] : [name.slice(0, -telltale.length)];
  });
  const sets = prefixes.map((prefix) => {
    const inner = prefixes.filter((other) => other !== prefix && other.startsWith(prefix));
    const members = [...names].filter(
      ([name]) => name.startsWith(prefix) && !inner.some((other) => name.startsWith(other)),
    );
    return { prefix, names: new Map(members.map(([name, inFile]) => [name.slice(prefix.length), inFile])) };
  });
  return [...sets, ...dotlessSets(names, sets, telltales)];
}

/** Names without wrappers, with those in the file. Where two would become the same, the later stays as it is. */
function unwrapped(allNames: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const inFile of allNames) {
    const parts = inFile.split('.').filter((part) => !WRAPPERS.has(part));
    const name = parts.join('.');
    names.set(names.has(name) ? inFile : name, inFile);
  }
  return names;
}

/**
 * Averages of LitEma, whose names have lost their dots: `model_ema.blocks0attnqkvweight`. What is not trained has no
 * average, and is that of the weights beside it.
 */
function dotlessSets(
  names: ReadonlyMap<string, string>,
  sets: readonly NamedSet[],
  telltales: readonly string[],
): NamedSet[] {
  const [trained] = sets;
  if (trained === undefined) return [];
  const dotless = (name: string): string => name.replaceAll('.', '');
  const endings = telltales.map(dotless);
  return [...names.keys()]
    .flatMap((name) => {
      const ending = endings.find((end) => name.endsWith(end));
      return ending === undefined ? [] : [name.slice(0, -ending.length)];
    })
    .map((prefix) => {
      const averaged = [...trained.names].map(
        ([name, inFile]) => [name, names.get(prefix + dotless(name)) ?? inFile] as const,
      );
      return { prefix, names: new Map(averaged) };
    });
}
