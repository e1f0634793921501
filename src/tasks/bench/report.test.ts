import { expect, test } from 'vitest';
import type { ContestResult, Measurement } from './contest.ts';
import { contestAsData, figuresOf, formatContest, median, ratios } from './report.ts';

const measurement = (name: string, seconds: number[], totalMb: number): Measurement => ({
  name,
  workers: 1,
  threads: 2,
  precision: 'f32',
  seconds,
  memory: { totalMb, largestMb: totalMb },
  introduction: { version: '1.0', blas: null },
});

const contest = { task: 'forward', batch: 4, device: 'cpu', cores: 2, workloads: [] } as const;
const ours = [measurement('udit 0.1.0', [1, 1, 7, 3], 300), measurement('udit 0.1.0', [2, 2, 2, 2], 400)];
const rival = {
  ...measurement('PyTorch 2.0 eager', [4, 2], 400),
  workers: 2,
  threads: 1,
  memory: { totalMb: 400, largestMb: 250 },
  ourSeconds: [
    [1, 1],
    [2, 2],
  ],
};

test('the median is the middle value, or the mean of the two in the middle', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([5, 1, 3, 4])).toBe(3.5);
});

test('ratios are ours over the rival’s, in the same turns', () => {
  expect(ratios(ours, rival)).toEqual([
    { time: 1 / 3, memory: 0.75 },
    { time: 2 / 3, memory: 1 },
  ]);
});

test('figures are per image; what is not known is not there', () => {
  expect(figuresOf(measurement('PyTorch', [2, 1, 4], 300), contest)).toEqual({
    medianSeconds: 2,
    minSeconds: 1,
    secondsPerImage: 0.5,
    imagesPerSecond: 2,
    peakMemoryMb: 300,
    peakMemoryPerProcessMb: 300,
  });
  const loaded = { ...measurement('udit', [2], 300), loadSeconds: { cold: 3, warm: 1 } };
  // A multiply-accumulate is two operations.
  expect(figuresOf(loaded, contest, 5e9)).toMatchObject({
    coldLoadSeconds: 3,
    warmLoadSeconds: 1,
    gflops: 20,
  });
  const limited = { ...loaded, productGflops: 25 };
  expect(figuresOf(limited, contest, 5e9)).toMatchObject({ productGflops: 25, shareOfProductSpeed: 0.8 });
  expect(figuresOf(limited, contest)).not.toHaveProperty('shareOfProductSpeed');
});

test('a contest is a table of measurements, one of ratios, and versions below', () => {
  const result: ContestResult = {
    contest,
    ours,
    rivals: [rival],
    macsPerImage: 5e9,
    notes: ['PyTorch 2.0 compile: no compiler'],
  };
  expect(formatContest(result)).toMatchInlineSnapshot(`
    "forward, batch 4, cpu, 2 cores
                         workers×threads  precision  median s  min s  s/image  images/s  GFLOP/s  peak MB  per process
      udit 0.1.0                     1×2        f32     2.000  1.000    0.500      2.00       20      300          300
      udit 0.1.0                     1×2        f32     2.000  2.000    0.500      2.00       20      400          400
      PyTorch 2.0 eager              2×1        f32     3.000  2.000    0.750      1.33       13      400          250

      our time (memory) / theirs  udit 1×2 f32  udit 1×2 f32
      PyTorch 2.0 eager           0.333 (0.75)  0.667 (1.00)

      udit 0.1.0: version 1.0, blas null
      PyTorch 2.0 eager: version 1.0, blas null
      PyTorch 2.0 compile: no compiler"
  `);
});

test('without a rival there are no ratios, and no column without values', () => {
  const train = { ...contest, task: 'train', cores: 1 } as const;
  const alone = { ...measurement('udit 0.1.0', [5], 300), loadSeconds: { cold: 4 }, error: 0.0123 };
  const operations = new Map([
    ['Gemm', 0.75],
    ['Mul', 0.25],
  ]);
  const result: ContestResult = {
    contest: train,
    ours: [{ ...alone, operations }],
    rivals: [],
    notes: [],
  };
  expect(formatContest(result)).toMatchInlineSnapshot(`
    "train, batch 4, cpu, 1 core
                  workers×threads  precision  median s  min s  s/image  images/s  peak MB  per process  cold load s   error
      udit 0.1.0              1×2        f32     5.000  5.000    1.250      0.80      300          300         4.00  1.2e-2

      udit 0.1.0: version 1.0, blas null
      udit 0.1.0 1×2 f32: products 75 %: Gemm 75 %; beside them Mul 25 %"
  `);
});

test('as data there is everything', () => {
  expect(contestAsData({ contest, ours, rivals: [rival], notes: [] })).toMatchInlineSnapshot(`
    {
      "batch": 4,
      "cores": 2,
      "device": "cpu",
      "notes": [],
      "ours": [
        {
          "imagesPerSecond": 2,
          "medianSeconds": 2,
          "minSeconds": 1,
          "name": "udit 0.1.0",
          "peakMemoryMb": 300,
          "peakMemoryPerProcessMb": 300,
          "precision": "f32",
          "seconds": [
            1,
            1,
            7,
            3,
          ],
          "secondsPerImage": 0.5,
          "threads": 2,
          "versions": {
            "blas": null,
            "version": "1.0",
          },
          "workers": 1,
        },
        {
          "imagesPerSecond": 2,
          "medianSeconds": 2,
          "minSeconds": 2,
          "name": "udit 0.1.0",
          "peakMemoryMb": 400,
          "peakMemoryPerProcessMb": 400,
          "precision": "f32",
          "seconds": [
            2,
            2,
            2,
            2,
          ],
          "secondsPerImage": 0.5,
          "threads": 2,
          "versions": {
            "blas": null,
            "version": "1.0",
          },
          "workers": 1,
        },
      ],
      "rivals": [
        {
          "imagesPerSecond": 1.3333333333333333,
          "medianSeconds": 3,
          "minSeconds": 2,
          "name": "PyTorch 2.0 eager",
          "ourRatios": [
            {
              "memory": 0.75,
              "time": 0.3333333333333333,
            },
            {
              "memory": 1,
              "time": 0.6666666666666666,
            },
          ],
          "peakMemoryMb": 400,
          "peakMemoryPerProcessMb": 250,
          "precision": "f32",
          "seconds": [
            4,
            2,
          ],
          "secondsPerImage": 0.75,
          "threads": 1,
          "versions": {
            "blas": null,
            "version": "1.0",
          },
          "workers": 2,
        },
      ],
      "task": "forward",
    }
  `);
});
