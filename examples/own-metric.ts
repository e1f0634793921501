/**
 * @file A metric of one's own: the kernel distance (MMD², as in KID) between generated pictures and those of a folder.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/own-metric.ts <folder> [checkpoint] [pictures per class]
 */
import { createSampler, tensorOf } from 'udit';
import { mosaics } from 'udit/evaluate';
import { bundledModel, cpuBackend, openImageFolder, openModel } from 'udit/node';

const [folder = 'photos', checkpoint = bundledModel, perClass = '4'] = process.argv.slice(2);

const saved = await openModel(checkpoint);
const sampler = await createSampler(saved, { backend: cpuBackend });
const labels = saved.card.classNames.flatMap((_, label) => new Array<number>(Number(perClass)).fill(label));
const generated = await sampler.generate({ labels, seed: 0 });
await sampler.release();

const samples = await openImageFolder(folder, { imageSize: saved.network.config.inputSize });
const pixels = samples.shape[0] * samples.shape[1] * samples.shape[2];
const values = new Float32Array(samples.length * pixels);
for (let i = 0; i < samples.length; i++) {
  await samples.read(i, null, values.subarray(i * pixels, (i + 1) * pixels));
}
const real = tensorOf('f32', [samples.length, ...samples.shape], Array.from(values));

const [x, y] = [rowsOf(mosaics(generated), generated.shape[0]!), rowsOf(mosaics(real), samples.length)];
const distance = meanKernel(x, x, true) + meanKernel(y, y, true) - 2 * meanKernel(x, y, false);
console.log(
  `kernel distance ${distance.toExponential(4)} of ${x.length} generated and ${y.length} real pictures`,
);

function rowsOf(features: Float64Array, count: number): Float64Array[] {
  const width = features.length / count;
  return Array.from({ length: count }, (_, i) => features.subarray(i * width, (i + 1) * width));
}

/** The mean of the kernel (a·b / D + 1)³ over all pairs; within one set a picture is not compared with itself. */
function meanKernel(a: Float64Array[], b: Float64Array[], isOneSet: boolean): number {
  let sum = 0;
  a.forEach((left, i) => {
    b.forEach((right, j) => {
      if (isOneSet && i === j) return;
      const product = left.reduce((total, value, k) => total + value * right[k]!, 0);
      sum += (product / left.length + 1) ** 3;
    });
  });
  return sum / (a.length * (isOneSet ? b.length - 1 : b.length));
}
