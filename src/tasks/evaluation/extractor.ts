/** @file A feature network at work on pictures. */
import { ConfigError, NumericsError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { sizeOf } from '../../core/shape.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { SavedNetwork } from '../../models/saved-model.ts';
import { traceNetwork } from '../../networks/trace.ts';

// B batch · H W picture · D features

export interface ExtractorOptions {
  readonly backend: Backend;
  /** Pictures at once. Default 16. */
  readonly batch?: number;
  /** Batches at a time. */
  readonly workers?: number;
  readonly threads?: number;
  readonly cache?: CompileCache | undefined;
}

/** What a network says of pictures: `features` [B, D], and what else its ports have. */
export type Extracted = ReadonlyMap<string, HostTensor<'f32'>>;

export interface Extractor {
  /** Outputs by name with their widths. */
  readonly widths: ReadonlyMap<string, number>;
  /** Pictures at once. */
  readonly batch: number;
  /** @param pictures - `u8[B,H,W,3]` with at most `batch` pictures */
  extract(pictures: HostTensor<'u8'>): Promise<Extracted>;
  release(): Promise<void>;
}

/** Compiles a feature network for pictures of a size. */
export async function createExtractor(
  { network, weights }: Pick<SavedNetwork<'features'>, 'network' | 'weights'>,
  size: ImageSize,
  { backend, batch = 16, workers, threads, cache }: ExtractorOptions,
): Promise<Extractor> {
  if (network.config.inChannels !== 3) {
    throw new ConfigError({
      where: 'createExtractor',
      problem: `the network takes pictures of ${network.config.inChannels} channels, these have 3`,
      fix: 'use a network for RGB pictures',
    });
  }
  const { inputs, outputs } = traceNetwork(network, { batch, size });
  const session = await compileInference(graphOf(outputs), weights, backend, {
    ...(workers === undefined ? {} : { workers }),
    ...(threads === undefined ? {} : { threads }),
    cache,
  });
  const values = sizeOf(inputs.x!.shape);
  return {
    widths: new Map(Object.entries(outputs).map(([name, { shape }]) => [name, shape[1]!])),
    batch,
    async extract(pictures) {
      const count = pictures.shape[0]!;
      const x = new Float32Array(values);
      writePlanes(pictures, x);
      const results = await session.run(new Map([['x', hostTensor('f32', inputs.x!.shape, x)]]));
      return new Map(
        [...results].map(([name, { shape, data }]) => {
          const width = shape[1]!;
          const kept = (data as Float32Array).slice(0, count * width);
          expectFinite(name, kept, width);
          return [name, hostTensor('f32', [count, width], kept)];
        }),
      );
    },
    release: () => session.release(),
  };
}

/** Bytes [B, H, W, 3] as values in [−1, 1], [B, 3, H, W]; pictures that are missing in the batch stay grey. */
function writePlanes({ shape, data }: HostTensor<'u8'>, x: Float32Array): void {
  const [count, height, width] = shape as [number, number, number];
  const pixels = height * width;
  for (let n = 0; n < count; n++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let c = 0; c < 3; c++) {
        x[(n * 3 + c) * pixels + pixel] = data[(n * pixels + pixel) * 3 + c]! / 127.5 - 1;
      }
    }
  }
}

function expectFinite(name: string, values: Float32Array, width: number): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericsError({
    where: 'extractor',
    problem: `${name} ${at % width} of picture ${Math.floor(at / width)} of a batch is ${values[at]}`,
    fix: 'the weights are damaged or of another network: fetch them again',
  });
}
