/**
 * @file The likelihood of the pictures of a folder under a model that is a flow, in bits per dimension.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/likelihood.ts <folder> [checkpoint] [steps]
 */
import { logLikelihood, tensorOf } from 'udit';
import { bundledModel, cpuBackend, openImageFolder, openModel } from 'udit/node';

const [folder = 'photos', checkpoint = bundledModel, steps = '25'] = process.argv.slice(2);

const saved = await openModel(checkpoint);
const samples = await openImageFolder(folder, { imageSize: saved.network.config.inputSize });
const pixels = samples.shape[0] * samples.shape[1] * samples.shape[2];

// Pixels are 8-bit: with uniform noise of one grey level their density is one of real numbers.
const GREY_LEVELS = Math.log2(127.5);
for (const [index, name] of samples.sampleNames.entries()) {
  const values = new Float32Array(pixels);
  await samples.read(index, null, values);
  const picture = tensorOf('f32', [1, ...samples.shape], Array.from(values));
  // The class 0 of the model: a folder's classes need not be the model's.
  const { bitsPerDimension } = await logLikelihood(saved, picture, tensorOf('i64', [1], [0]), {
    backend: cpuBackend,
    solver: { method: 'heun', steps: Number(steps) },
  });
  console.log(`${name}: ${(bitsPerDimension[0]! + GREY_LEVELS).toFixed(2)} bits per dimension`);
}
