/** @file The kernel distance of features (Bińkowski et al. 2018, KID): unbiased, so that few pictures do. */
import { ShapeError } from '../core/errors.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { fold, permutation, type RandomKey } from '../core/random.ts';
import { type Features, rowsFrom } from './feature-rows.ts';
import { countOf, type FeatureSet, type MatrixProduct, plainProduct } from './matrix-product.ts';
import { type Spread, spreadOf } from './spread.ts';

export interface KernelDistanceOptions {
  /** Chooses the subsets. */
  readonly key: RandomKey;
  /** Default 100. */
  readonly subsets?: number;
  /** Pictures of each side in a subset; no more than there are. Default 1,000. */
  readonly subsetSize?: number;
  readonly product?: MatrixProduct;
}

const KERNEL_OPTIONS: OptionTable<KernelDistanceOptions> = {
  key: 'needed',
  subsets: 'optional',
  subsetSize: 'optional',
  product: 'optional',
};

/**
 * The squared maximum mean discrepancy with the kernel (x·y / D + 1)³, estimated without bias on random subsets: its mean,
 * and the deviation over subsets. It may be negative.
 *
 * @throws ConfigError for an option that does not exist or is missing
 * @throws ShapeError if the numbers of features differ, or a side has fewer than two
 */
export async function kernelDistance(
  first: Features,
  second: Features,
  options: KernelDistanceOptions,
): Promise<Spread> {
  expectOptions(options, 'kernelDistance', KERNEL_OPTIONS);
  const { key, subsets = 100, subsetSize = 1000, product = plainProduct } = options;
  const sides = [rowsFrom(first), rowsFrom(second)] as const;
  const size = Math.min(subsetSize, ...sides.map(({ count }) => count));
  if (first.width !== second.width || size < 2) {
    throw new ShapeError({
      where: 'kernelDistance',
      problem:
        `one side has ${sides[0].count} samples of ${first.width} features, ` +
        `the other ${sides[1].count} of ${second.width}`,
      fix: 'compare at least two samples of the same kind of features',
    });
  }
  const estimates: number[] = [];
  for (let subset = 0; subset < subsets; subset++) {
    const chosen = sides.map((side, number) =>
      side.take(permutation(fold(key, subset, number), side.count).subarray(0, size)),
    );
    const [a, b] = (await Promise.all(chosen)) as [FeatureSet, FeatureSet];
    const within = (await kernelSum(a, a, product, true)) + (await kernelSum(b, b, product, true));
    const between = await kernelSum(a, b, product, false);
    estimates.push(within / (size * (size - 1)) - (2 * between) / size ** 2);
  }
  return spreadOf(estimates);
}

/** The kernel summed over all pairs, or all of different samples. */
async function kernelSum(
  a: FeatureSet,
  b: FeatureSet,
  product: MatrixProduct,
  withoutSelf: boolean,
): Promise<number> {
  const kernel = (value: number) => (value / a.width + 1) ** 3;
  const products = await product(a, b);
  let sum = 0;
  for (const value of products) sum += kernel(value);
  if (!withoutSelf) return sum;
  const columns = countOf(b);
  for (let i = 0; i < columns; i++) sum -= kernel(products[i * columns + i]!);
  return sum;
}
