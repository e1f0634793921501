import { expect, test } from 'vitest';
import { tinyCard } from '../../../../test/support/tiny-checkpoint.ts';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { RunDecisions, type StopLimits } from './decisions.ts';
import {
  type DrawSamples,
  type EvaluatorParts,
  RunEvaluator,
  type ScoreSamples,
  stepRecorder,
} from './run-recorder.ts';
import type { StepReport } from './training-loop.ts';

const reportOf = (step: number, sessionSeconds: number): StepReport => ({
  ...{ step, sessionSeconds, loss: 1, terms: {}, gradientNorm: 1, learningRate: 0.1, imagesPerSecond: 10 },
});

/** The steps that are written down of a session whose steps take so long. */
async function recorded(logEvery: number, steps: number, secondsPerStep: number): Promise<number[]> {
  const written: number[] = [];
  const log = { step: (step: number) => void written.push(step) };
  const recorder = stepRecorder(tinyConfig({ logging: { logEvery } }), log, {});
  for (let step = 1; step <= steps; step++) await recorder.onStep!(reportOf(step, step * secondsPerStep));
  await recorder.onEnd!(steps);
  return written;
}

test('measurements are written down by steps, by the clock, and where a session ends; none twice', async () => {
  expect(await recorded(10, 25, 0.1)).toEqual([10, 20, 25]);
  expect(await recorded(10, 20, 0.1)).toEqual([10, 20]);
  expect(await recorded(100, 12, 4)).toEqual([3, 6, 9, 12]);
  expect(await recorded(100, 2, 4)).toEqual([2]);
});

interface Session {
  readonly limits?: StopLimits;
  readonly logging?: { readonly sampleEvery: number | null };
  /** Of a sheet. */
  readonly seconds?: number;
  /** That a sheet is expected to need; the pace is ten images per second, with their gradients. */
  readonly evaluations?: number;
  /** Likewise of scores, where samples are scored. */
  readonly scoring?: { readonly seconds: number; readonly evaluations: number; readonly every?: number };
}

/** A session with a clock that only its steps, sheets and scores move, and the steps that were drawn and scored. */
function sessionOf({ limits = {}, logging, seconds = 2, evaluations = 0, scoring }: Session) {
  let now = 0;
  const drawn: number[] = [];
  const scored: number[] = [];
  const warnings: string[] = [];
  const decisions = new RunDecisions(1000, limits, () => 1000 * now);
  const drawSamples: DrawSamples = Object.assign(
    async () => {
      now += seconds;
      return new Uint8Array();
    },
    { evaluations: () => evaluations },
  );
  const scoreSamples: ScoreSamples | undefined =
    scoring &&
    Object.assign(
      async () => {
        now += scoring.seconds;
        return { scores: {}, provenance: '' };
      },
      { evaluations: () => scoring.evaluations },
    );
  const scoreEvery = scoring?.every ?? null;
  const parts = {
    logging: tinyConfig({ logging: { sampleEvery: 100, scoreEvery, ...logging } }).logging,
    folder: { samplesAt: String },
    log: {
      ...{ heldOutBefore: undefined, heldOut: () => undefined, samples: () => undefined },
      ...{ scores: () => undefined, bestBefore: () => undefined },
    },
    observer: {
      onSamples: (step: number) => void drawn.push(step),
      onScores: (step: number) => void scored.push(step),
      onWarning: (message: string) => void warnings.push(message),
    },
    snapshot: () => ({ card: tinyCard() }) as ReturnType<EvaluatorParts<'denoiser'>['snapshot']>,
    ...{ decisions, drawSamples, heldOutLoss: undefined, scoreSamples },
    keep: async () => undefined,
  };
  const evaluator = new RunEvaluator(parts);
  return {
    drawn,
    scored,
    warnings,
    /** Trains until the session is over. */
    async run(secondsPerStep: number): Promise<{ readonly step: number; readonly seconds: number }> {
      let step = 0;
      await evaluator.onBegin(step);
      decisions.startClock();
      while (decisions.goesOn(step)) {
        step++;
        now += secondsPerStep;
        await evaluator.onStep(reportOf(step, now));
      }
      await evaluator.onEnd(step);
      return { step, seconds: now };
    },
  };
}

test('a sheet is drawn by steps, by the clock, and where a session ends', async () => {
  const quick = sessionOf({ limits: { stopAfterStep: 250 } });
  await quick.run(1);
  expect(quick.drawn).toEqual([100, 200, 250]);
  const slow = sessionOf({ limits: { stopAfterStep: 25 } });
  await slow.run(70);
  expect(slow.drawn).toEqual([9, 18, 25]);
  const none = sessionOf({ limits: { stopAfterStep: 25 }, logging: { sampleEvery: null } });
  await none.run(70);
  expect(none.drawn).toEqual([]);
});

test('a sheet that takes long comes no oftener than its share of the time', async () => {
  const { run, drawn } = sessionOf({ limits: { stopAfterStep: 100 }, seconds: 60, evaluations: 30 * 60 });
  await run(30);
  expect(drawn).toEqual([40, 80, 100]);
});

test('the last sheet is drawn within the time of the session', async () => {
  const { run, drawn } = sessionOf({ limits: { stopAfterMs: 60_000 }, seconds: 10, evaluations: 30 * 12 });
  // The estimate of 12 s is kept free.
  expect(await run(1)).toEqual({ step: 48, seconds: 58 });
  expect(drawn).toEqual([48]);
});

test('a sheet that would take most of the time is left out, and that is said', async () => {
  const { run, drawn, warnings } = sessionOf({ limits: { stopAfterMs: 60_000 }, evaluations: 30 * 40 });
  expect(await run(1)).toEqual({ step: 60, seconds: 60 });
  expect(drawn).toEqual([]);
  expect(warnings).toEqual(['no sheet is drawn: it would take some 40 s, most of the session']);
});

test('samples are scored by steps and where a session ends, within its time', async () => {
  const scoring = { seconds: 6, evaluations: 30 * 9 };
  const { run, scored, drawn } = sessionOf({ limits: { stopAfterMs: 60_000 }, scoring });
  // Kept free are the estimates: 9 s for the scores, none for the sheet, which takes 2 s.
  expect(await run(1)).toEqual({ step: 51, seconds: 59 });
  expect([scored, drawn]).toEqual([[51], [51]]);
  const often = sessionOf({ limits: { stopAfterMs: 60_000 }, scoring: { ...scoring, every: 20 } });
  // From the first scores on their own 6 s are kept free.
  await often.run(1);
  expect(often.scored).toEqual([20, 40, 42]);
  const atLast = sessionOf({ limits: { stopAfterStep: 40 }, scoring: { ...scoring, every: 20 } });
  await atLast.run(1);
  expect(atLast.scored).toEqual([20, 40]);
});

test('scores that would take most of the time beside the sheet are left out, and that is said', async () => {
  const limits = { stopAfterMs: 60_000 };
  const { run, scored, warnings } = sessionOf({
    ...{ limits, evaluations: 30 * 10, scoring: { seconds: 25, evaluations: 30 * 25 } },
  });
  await run(1);
  expect(scored).toEqual([]);
  expect(warnings).toEqual(['samples are not scored: it would take some 25 s, most of the session']);
});

test('a session without steps, or that is stopped, draws none', async () => {
  const over = sessionOf({ limits: { stopAfterMs: 0 } });
  await over.run(1);
  const stopped = sessionOf({ limits: { signal: AbortSignal.abort() } });
  await stopped.run(1);
  expect([...over.drawn, ...stopped.drawn, ...over.warnings, ...stopped.warnings]).toEqual([]);
});
