import { expect, test } from 'vitest';
import { formatReport, type Measurement, median, ratios } from './report.ts';

const measurement = (name: string, seconds: number[], peakMemoryMb: number): Measurement => ({
  name,
  seconds,
  peakMemoryMb,
  introduction: { version: '1.0', threads: 1 },
});

test('the median is the middle value, or the mean of the two in the middle', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([5, 1, 3, 4])).toBe(3.5);
});

test('ratios are ours over the peer, of medians and of peaks', () => {
  const [ours, peer] = [measurement('udit', [1, 1, 7], 300), measurement('PyTorch', [4, 1, 2], 400)];
  expect(ratios(ours, peer)).toEqual({ time: 0.5, memory: 0.75 });
});

test('a report is a table with versions below, and says why there is no peer', () => {
  const ours = measurement('udit', [1.5, 1.25, 7], 300);
  const report = { task: 'forward', measurements: [ours, measurement('PyTorch', [3, 4, 2], 400)] } as const;
  expect(formatReport(report)).toMatchInlineSnapshot(`
    "forward
               median s  min s  peak MB  our time /  our memory /
      udit        1.500  1.250      300
      PyTorch     3.000  2.000      400       0.500         0.750
      udit: version 1.0, threads 1
      PyTorch: version 1.0, threads 1"
  `);
  expect(formatReport({ task: 'train', measurements: [ours], noPeer: '--no-peer' })).toMatchInlineSnapshot(`
    "train
            median s  min s  peak MB  our time /  our memory /
      udit     1.500  1.250      300
      udit: version 1.0, threads 1
      no ratio: --no-peer"
  `);
});
