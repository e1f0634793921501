/** @file Draws latents into a folder, as an archive that NumPy reads: an autoencoder makes pictures of them. */
import { join } from 'node:path';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { serialiseNpz, UNNAMED_ARRAY } from '../../formats/npz.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { className } from './classes.ts';
import {
  type SampleFiles,
  type SampleFilesRequest,
  sampleRequest,
  wantedImages,
} from './sample-files-node.ts';

/**
 * Writes `latents_{N}x{C}x{H}x{W}.npz`: `arr_0` f32[N,C,H,W] as the model draws them, which published autoencoders want
 * divided by 0.18215, and `labels` i64[N]. Each latent depends on what {@link drawToFolder} says of images.
 *
 * @throws DataError if the folder cannot be written
 */
export async function drawLatentsToFolder(
  request: Omit<SampleFilesRequest, 'png' | 'npz'>,
): Promise<SampleFiles> {
  const { sampler, classes, labels, count, folder } = request;
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const wanted = wantedImages(labels, count);
  const began = performance.now();
  const latents = await sampler.generate(sampleRequest(request, wanted));
  const path = join(folder, `latents_${latents.shape.join('x')}.npz`);
  const arrays = new Map<string, HostTensor>([
    [UNNAMED_ARRAY, latents],
    [
      'labels',
      tensorOf(
        'i64',
        [wanted.length],
        wanted.map(({ label }) => label),
      ),
    ],
  ]);
  await writeFileAtomic(path, [serialiseNpz(arrays)]);
  return {
    images: wanted.map((image) => ({ class: className(classes, image.label), ...image })),
    npzPath: path,
    elapsedMs: performance.now() - began,
  };
}
