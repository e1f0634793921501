/** @file Where pictures go: any number of sinks take the batches of one loop. */
import { ConfigError } from '../../../core/errors.ts';
import type { HostTensor } from '../../../core/host-tensor.ts';
import type { PictureBatch, Pipeline } from '../pipeline.ts';
import type { SampleRequest, StepProgress } from '../sample.ts';

export interface SinkResult {
  /** The files that were written. */
  readonly paths: readonly string[];
}

/** Takes pictures batch by batch, and keeps none of them longer than it needs. */
export interface Sink {
  /** The memory of the batch is free again once it returns. */
  put(batch: PictureBatch): Promise<void>;
  /** Is told of each step of each batch. */
  onStep?(progress: StepProgress): void;
  /** After the last batch. */
  close(): Promise<SinkResult>;
  /** Instead of `close` where drawing or another sink has failed: lets go of what is open. */
  abandon?(): Promise<void>;
}

/**
 * Draws what is asked for, and gives each batch to every sink.
 *
 *     const pipeline = await createPipeline(saved, { backend: cpuBackend, steps: 4 });
 *     await drawInto(pipeline, { labels: [0, 1], seed: 7 }, [sheetFile('two.png', { rows: 1, columns: 2 })]);
 *     await pipeline.release();
 *
 * @returns what each sink made of it, in the order of the sinks
 * @throws what drawing or a sink throws; the sinks are abandoned
 */
export async function drawInto(
  pipeline: Pick<Pipeline, 'pictures'>,
  request: SampleRequest,
  sinks: readonly Sink[],
): Promise<SinkResult[]> {
  const onStep = (progress: StepProgress): void => {
    for (const sink of sinks) sink.onStep?.(progress);
    request.onStep?.(progress);
  };
  try {
    for await (const batch of pipeline.pictures({ ...request, onStep })) {
      for (const sink of sinks) await sink.put(batch);
    }
    const results: SinkResult[] = [];
    for (const sink of sinks) results.push(await sink.close());
    return results;
  } catch (error) {
    // Failing to let go as well must not hide the cause.
    for (const sink of sinks) await sink.abandon?.().catch(() => undefined);
    throw error;
  }
}

/**
 * The pixels of a batch, for sinks that show them.
 *
 * @throws ConfigError if they are latents
 */
export function pixelsOf({ pictures }: PictureBatch, where: string): HostTensor<'u8'> {
  if (pictures.dtype === 'u8') return pictures as HostTensor<'u8'>;
  throw new ConfigError({
    where,
    problem: `latents of ${pictures.shape[1]} channels cannot be shown as pictures`,
    fix: 'give the pipeline an autoencoder, or write the latents to an archive',
  });
}
