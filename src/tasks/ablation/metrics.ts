/** @file What is measured of each cell, and how it is shown. */

export type MetricName = 'heldOutLoss' | 'boundBits' | 'swd' | 'frechet';

export interface MetricDescription {
  /** Over a column, and at an axis. */
  readonly label: string;
  readonly digits: number;
  /** Below the table. */
  readonly explanation: string;
}

/** Of all, less is better. */
export const METRICS: Readonly<Record<MetricName, MetricDescription>> = {
  heldOutLoss: {
    label: 'held-out loss',
    digits: 4,
    explanation:
      'the training objective on pictures that training never sees, at fixed, evenly spread times with fixed noise',
  },
  boundBits: {
    label: 'held-out bound (bits/dim)',
    digits: 3,
    explanation:
      'the variational bound on the negative log-likelihood of the held-out pictures, in bits per dimension ' +
      '(of Gaussian diffusion the sum of its terms, of flows the integral over log SNR; docs/guides/ablations.md)',
  },
  swd: {
    label: 'SWD (×1000)',
    digits: 2,
    explanation:
      'the sliced Wasserstein distance of patches of drawn pictures from those of the data, over the levels of a ' +
      'Laplacian pyramid, in thousandths, as udit evaluate --metrics swd measures it',
  },
  frechet: {
    label: 'Fréchet 8×8 RGB (proxy)',
    digits: 2,
    explanation:
      'the Fréchet distance of drawn pictures from the data, both reduced to the mean colours of 8×8 tiles: ' +
      'a small-scale proxy for FID, good for comparing rows of this table and for nothing else',
  },
};

export const METRIC_NAMES = Object.keys(METRICS) as MetricName[];
