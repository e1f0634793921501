/** @file How fast a training is on this machine. */
import { rm } from 'node:fs/promises';
import type { TrainConfig } from '../config/train-config.ts';
import type { StepReport } from './training-loop.ts';
import { planTraining, type SessionOptions, trainInFolder } from './training-session.ts';

/** What a measurement needs of a session. */
export type PaceOptions = Pick<SessionOptions, 'backend' | 'threads' | 'version' | 'signal' | 'observer'>;

/**
 * Trains for a moment in a folder that is thrown away.
 *
 * @param folder - of nothing else
 * @returns images per second
 * @throws the signal's reason when it is aborted meanwhile
 */
export async function measurePace(
  config: TrainConfig,
  folder: string,
  measuringMs: number,
  { backend, threads, version, signal, observer: listener }: PaceOptions,
): Promise<number> {
  const reports: StepReport[] = [];
  const observer = { ...listener, onStep: (report: StepReport) => void reports.push(report) };
  const silent = { ...config, logging: { ...config.logging, evaluateEvery: null, sampleEvery: null } };
  const trial = { ...silent, training: { ...config.training, steps: Number.MAX_SAFE_INTEGER } };
  const clear = () => rm(folder, { recursive: true, force: true });
  // Whoever measures may have options of other work beside these.
  const options = { observer, ...(backend && { backend }), ...(signal && { signal }) };
  await clear();
  try {
    const plan = await planTraining(trial, options);
    await trainInFolder(plan, {
      ...{ ...options, threads, version },
      ...{ config: trial, runPath: folder, stopAfterMs: measuringMs },
    });
  } finally {
    await clear();
  }
  signal?.throwIfAborted();
  return paceOf(reports, config.training.batchSize);
}

/** Images per second without the first step, which is slower than the rest; of that alone, if there are no others. */
export function paceOf(
  reports: readonly Pick<StepReport, 'sessionSeconds' | 'imagesPerSecond'>[],
  batchSize: number,
): number {
  const [first, last] = [reports[0], reports.at(-1)];
  if (first === undefined || last === undefined) return 0;
  if (reports.length === 1) return first.imagesPerSecond;
  return ((reports.length - 1) * batchSize) / (last.sessionSeconds - first.sessionSeconds);
}
