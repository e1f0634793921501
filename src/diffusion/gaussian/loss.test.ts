import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import {
  ENGINES,
  type GaussianCase,
  readGaussianCases,
  readJson,
  readTensors,
  STEP_FILES,
} from '../../../test/support/diffusion-fixtures.ts';
import { toNumbers } from '../../core/host-tensor.ts';
import { input, mean } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import type { Loss } from '../objective.ts';
import { addNoise, gaussianDiffusion, splitPrediction } from './gaussian.ts';
import { boundTermBits, gaussianLoss, priorBits } from './loss.ts';

const MSE_TOLERANCE = { relative: 1e-5, absolute: 1e-5 };
/** Far from the data, the likelihood takes the difference of probabilities near 1, which float32 rounds to 0. */
const boundTolerance = (rounds: boolean) => ({ relative: rounds ? 1e-4 : 1e-2, absolute: 1e-5 });

interface Leaves {
  readonly x0: Unlabelled;
  readonly noise: Unlabelled;
  readonly t: Unlabelled;
  readonly output: Unlabelled;
}

function leavesOf({ feeds }: GaussianCase): Leaves {
  const leaf = (name: string) => input(name, feeds.get(name)!.shape, feeds.get(name)!.dtype);
  return { x0: leaf('x_start'), noise: leaf('noise'), t: leaf('t'), output: leaf('output') };
}

function lossOf(recordedCase: GaussianCase, { x0, noise, t, output }: Leaves): Loss {
  return gaussianLoss(recordedCase.diffusion, () => output, x0, noise, t);
}

/** Each value on its own scale: terms of the bound span six orders of magnitude over t. */
function expectEachClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: typeof MSE_TOLERANCE,
) {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expectClose([actual[i]!], [expected[i]!], tolerance);
}

describe.each(ENGINES)('losses against the reference on $name', ({ run, rounds }) => {
  test.each(readGaussianCases())('$name', async (recordedCase) => {
    const { diffusion, feeds, recorded } = recordedCase;
    const leaves = leavesOf(recordedCase);
    const { perSample, terms } = lossOf(recordedCase, leaves);
    const c = diffusion.coefficients.at(leaves.t);
    const xt = addNoise(c, leaves.x0, leaves.noise);
    const prediction = splitPrediction(diffusion, leaves.output, xt);
    const bound = (clip: boolean): Tensor =>
      boundTermBits(diffusion, c, prediction, leaves.x0, xt, { clip }).bits;
    const outputs: Record<string, Tensor> = {
      loss: perSample,
      vb_bpd: bound(false),
      vb_bpd_clip: bound(true),
      prior_bpd: priorBits(diffusion, leaves.x0),
    };
    // The reference records no terms of a loss that is the bound alone.
    if (diffusion.options.loss !== 'rescaled-kl') Object.assign(outputs, terms);

    const values = await run(outputs, feeds);
    for (const [name, value] of values) {
      const tolerance = name === 'mse' ? MSE_TOLERANCE : boundTolerance(rounds);
      expectEachClose(value, toNumbers(recorded(name)), tolerance);
    }
  });
});

/** The gradients of each file are those of the reference's default configuration, on the file's own tensors. */
const GRADIENT_CASES = STEP_FILES.map((file) => {
  const learned = readGaussianCases().find((candidate) => candidate.file === file)!;
  return { file, recordedCase: { ...learned, diffusion: gaussianDiffusion() } };
});

describe.each(ENGINES)('gradients against the reference on $name', ({ run }) => {
  test.each(GRADIENT_CASES)('$file', async ({ file, recordedCase }) => {
    const leaves = leavesOf(recordedCase);
    const { perSample, terms } = lossOf(recordedCase, leaves);
    const [loss, vb] = [mean(perSample), mean(terms.vb!)].map(
      (scalar) => gradients(scalar, [leaves.output])[0]!,
    );
    const values = await run({ loss: loss!, vb: vb! }, recordedCase.feeds);

    // Rounding of the reference itself, by row; some rows of the bound vanish almost entirely.
    const noise = readJson<{ float64_vs_float32_gradient_rel_l2_per_row: Record<string, number[]> }>(
      `${file}.json`,
    ).float64_vs_float32_gradient_rel_l2_per_row;
    const tensors = readTensors(file);
    for (const [name, value] of values) {
      const expected = toNumbers(tensors.get(`grad_${name}_mean_wrt_net_out8`)!);
      const rows = noise[name]!;
      const errors = relativeErrorsByRow(value, expected, rows.length);
      errors.forEach((error, row) => {
        expect(error, `${name} row ${row}`).toBeLessThanOrEqual(Math.max(1e-4, 5 * rows[row]!));
      });
    }
  });
});

/** ‖actual − expected‖₂ / ‖expected‖₂ of each of `count` equal parts. */
function relativeErrorsByRow(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  count: number,
): number[] {
  const size = expected.length / count;
  return Array.from({ length: count }, (_, row) => {
    let difference = 0;
    let total = 0;
    for (let i = row * size; i < (row + 1) * size; i++) {
      difference += (actual[i]! - expected[i]!) ** 2;
      total += expected[i]! ** 2;
    }
    return Math.sqrt(difference / total);
  });
}

test('the bound trains the variances and never the prediction', async () => {
  const [recordedCase] = readGaussianCases();
  const leaves = leavesOf(recordedCase!);
  const [gradient] = gradients(mean(lossOf(recordedCase!, leaves).terms.vb!), [leaves.output]);
  const [{ run }] = ENGINES as [(typeof ENGINES)[0]];
  const values = (await run({ gradient: gradient! }, recordedCase!.feeds)).get('gradient')!;
  const imageSize = 4 * 8 * 8;
  for (let i = 0; i < values.length; i++) {
    const isPrediction = i % (2 * imageSize) < imageSize;
    if (isPrediction) expect(values[i]).toBe(0);
  }
  expect(Array.from(values).some((value) => value !== 0)).toBe(true);
});
