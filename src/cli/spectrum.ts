/** @file `udit inspect --spectrum`: the spatial frequencies of a trained network's features, measured, told and drawn. */
import { dirname, resolve } from 'node:path';
import { formatShare } from '../charts/format.ts';
import { writeDrawing } from '../charts/png-node.ts';
import { ConfigError } from '../core/errors.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { makeFolder } from '../host/files/make-folder-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { findCheckpoint, locateCheckpoint, type OpenCheckpoint } from '../models/bundled-node.ts';
import { compileCache } from '../models/compile-cache-node.ts';
import { PRESETS } from '../networks/presets.ts';
import { drawSpectrum } from '../tasks/inspection/spectrum/drawing.ts';
import {
  finestShare,
  measureSpectrum,
  octaveShares,
  type Spectrum,
} from '../tasks/inspection/spectrum/spectrum.ts';
import { expectImagesFit } from '../tasks/sampling/enough-memory-node.ts';
import { createSampler } from '../tasks/sampling/sample.ts';
import type { DeviceFlag } from './device-flag.ts';
import { drawingFormats, drawingPaths, stemOf } from './drawing-file.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import { formatTable } from './table.ts';
import { notesOn, startProgress, type Terminal } from './terminal.ts';

export interface SpectrumFlags extends DeviceFlag {
  /** Where it is drawn. */
  readonly file: string;
  /** Default 18. */
  readonly pictures?: number;
  /** Default 0. */
  readonly seed?: number;
}

export interface DrawnSpectrum extends Spectrum {
  readonly pictures: number;
  readonly seed: number;
  readonly files: readonly string[];
}

/** @throws ConfigError where there are no weights, or nothing can be drawn in that place */
export async function spectrumOf(
  argument: string,
  { file, pictures = 18, seed = 0, device }: SpectrumFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<DrawnSpectrum> {
  const formats = drawingFormats('--spectrum', file);
  expectImagesFit('--pictures', pictures);
  if (Object.hasOwn(PRESETS, argument) || argument.endsWith('.json')) {
    throw new ConfigError({
      where: '--spectrum',
      problem: `${argument} has no weights, but the features of trained weights are measured`,
      fix: 'give a run folder or a checkpoint, or no model for the bundled one',
    });
  }
  const checkpoint = await locateCheckpoint(argument);
  await expectHarmlessOutputs('--spectrum', drawingPaths(file, formats), [checkpoint]);
  await makeFolder(dirname(resolve(file)), {
    Failure: ConfigError,
    fix: 'choose another place with --spectrum',
  });
  const saved = await findCheckpoint(checkpoint);
  try {
    const spectrum = await measure(saved, { pictures, seed, device }, terminal, signal);
    const files = await writeDrawing(stemOf(resolve(file)), drawSpectrum(saved.card.name, spectrum), formats);
    return { ...spectrum, pictures, seed, files };
  } finally {
    await saved.close();
  }
}

/** Quick, whatever the objective: the pictures need to be typical, not perfect. */
const SAMPLING = { sampler: 'dpm++2m', steps: 16 } as const;

async function measure(
  saved: OpenCheckpoint,
  { pictures, seed, device }: Required<Omit<SpectrumFlags, 'file'>>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Spectrum> {
  const backend = await openDevice(device);
  const threads = backend.name === 'cpu' ? physicalCores() : 1;
  const labels = Array.from({ length: pictures }, (_, i) => i % saved.network.config.numClasses);
  const options = { backend, cache: compileCache(notesOn(terminal)) };
  const total = pictures * SAMPLING.steps;
  const drawing = startProgress(terminal, { title: 'drawing', total });
  const sampler = await createSampler(saved, { ...options, ...SAMPLING, images: pictures });
  let steps = 0;
  const onStep = () => drawing.update(++steps, `step ${steps} of ${total}`);
  const images = await sampler.generate({ labels, seed, signal, onStep }).finally(async () => {
    drawing.stop();
    await sampler.release();
  });
  const runs = pictures * TIMES;
  const measuring = startProgress(terminal, { title: 'measuring', total: runs });
  try {
    return await measureSpectrum(
      saved,
      { images, labels },
      {
        ...options,
        threads,
        seed,
        signal,
        times: TIMES,
        onStep: (done) => measuring.update(done, `run ${done} of ${runs}`),
      },
    );
  } finally {
    measuring.stop();
  }
}

/** Of the time, evenly spread. */
const TIMES = 10;
/** Of how many of them columns are printed. */
const SHOWN_TIMES = 4;

/** What half as many tokens a side cannot hold, by stage and time. */
export function describeSpectrum({ stages, times, pictures, files }: DrawnSpectrum): string {
  const columns = Array.from({ length: SHOWN_TIMES }, (_, i) =>
    Math.round((i * (times.length - 1)) / (SHOWN_TIMES - 1)),
  );
  const rows = stages.map((stage) => [
    stage.name,
    `${stage.side}×${stage.side}`,
    ...columns.map((time) => formatShare(octaveShares(stage.energies[time]!).at(-1) ?? 0)),
    formatShare(finestShare(stage)),
  ]);
  const head = ['stage', 'map', ...columns.map((time) => `t ${Number(times[time]!.toPrecision(3))}`), 'mean'];
  return (
    `Energy in the finest octave, which a map of half the side cannot hold (${pictures} pictures, from noise to data):\n` +
    formatTable([head, ...rows]) +
    files.map((path) => `drawn in ${path}\n`).join('')
  );
}
