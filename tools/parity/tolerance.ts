/**
 * @file Tolerances as fixtures state them in words, such as "rel 1e-5, abs 1e-5; vb terms rel 1e-4". Clauses are
 * separated by semicolons or brackets; the first holds for everything, the others for what they name.
 */

/** All bounds that are given must hold. */
export interface Tolerance {
  /** Of each element: |a − b| ≤ absolute + relative · |b|. */
  readonly absolute?: number;
  readonly relative?: number;
  /** ‖a − b‖₂ / ‖b‖₂. */
  readonly relL2?: number;
}

export const EXACT: Tolerance = { absolute: 0 };

/** For fixtures that state none in their JSON: what their folder's README states. */
export const README_TOLERANCES = {
  forward: 'max abs 1e-4, rel L2 2e-5',
  positions: '1e-6',
  schedule: '1e-12 relative',
  respacing: 'timestep_map exact; betas 1e-12 relative',
  steps: 'rel 1e-5, abs 1e-5; vb terms rel 1e-4',
  loop: 'rel L2 1e-4',
  training:
    'losses rel 1e-5 (step 1) to 1e-4 (step 5); gradients rel L2 1e-4 per tensor (tensors with norm > 1e-6); ' +
    'params: |diff| <= 1e-5 for 99.9% of elements and <= 1e-3 for all',
  crop: 'exact',
  fullSize: 'rel L2 1e-4',
} as const;

const NUMBER = String.raw`(\d+(?:\.\d+)?(?:e[-+]?\d+)?)`;
const ABSOLUTE = [
  new RegExp(String.raw`(?:abs|\|a-b\||\|diff\|)\s*(?:<=)?\s*${NUMBER}`),
  RegExp(`${NUMBER} abs`),
];
const RELATIVE = [new RegExp(String.raw`rel(?:ative)?\s*(?:<=)?\s*${NUMBER}`), RegExp(`${NUMBER} relative`)];
const REL_L2 = [new RegExp(String.raw`rel L2\s*(?:<=)?\s*${NUMBER}`)];
const BARE = RegExp(`(?:^|\\s)${NUMBER}$`);

function firstMatch(patterns: readonly RegExp[], text: string): number | undefined {
  const match = patterns.map((pattern) => pattern.exec(text)).find((found) => found !== null);
  return match ? Number(match[1]) : undefined;
}

/** A number without a word for its measure is of the measure of `like`. */
function parseClause(clause: string, like: Tolerance): Tolerance {
  const found = {
    absolute: firstMatch(ABSOLUTE, clause),
    relative: firstMatch(RELATIVE, clause),
    relL2: firstMatch(REL_L2, clause),
  };
  const entries = Object.entries(found).filter(([, value]) => value !== undefined);
  if (entries.length > 0) return Object.fromEntries(entries);
  const bare = BARE.exec(clause.trim());
  if (bare === null) return {};
  return { [like.relative === undefined ? 'absolute' : 'relative']: Number(bare[1]) };
}

export class StatedTolerance {
  private readonly general: Tolerance;
  private readonly clauses: readonly string[];

  constructor(text: string) {
    this.clauses = text.split(/[;(]/);
    const general = parseClause(this.clauses[0]!, {});
    this.general = Object.keys(general).length > 0 ? general : EXACT;
  }

  /** The general tolerance, loosened where a clause begins with one of `subjects`: the first that one does. */
  of(...subjects: readonly string[]): Tolerance {
    const specific = this.clauses.slice(1);
    const clause = subjects
      .map((subject) => specific.find((text) => new RegExp(String.raw`^\s*${subject}\b`).test(text)))
      .find((found) => found !== undefined);
    if (clause === undefined) return this.general;
    const special = parseClause(clause, this.general);
    const loosest = (key: keyof Tolerance) => Math.max(this.general[key] ?? 0, special[key] ?? 0);
    const keys = Object.keys({ ...this.general, ...special }) as (keyof Tolerance)[];
    return Object.fromEntries(keys.map((key) => [key, loosest(key)]));
  }
}

export function formatTolerance({ absolute, relative, relL2 }: Tolerance): string {
  const parts: string[] = [];
  if (absolute) parts.push(`abs ${formatBound(absolute)}`);
  if (relative) parts.push(`rel ${formatBound(relative)}`);
  if (relL2) parts.push(`rel L2 ${formatBound(relL2)}`);
  return parts.length === 0 ? 'exact' : parts.join(', ');
}

function formatBound(bound: number): string {
  return Number(bound.toPrecision(3)).toExponential();
}
