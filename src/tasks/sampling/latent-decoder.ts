/** @file Latents to pictures with an autoencoder: one compiled decoder, run for a picture or a tile of one at a time. */
import { type HostTensor, hostTensor, tensorOf, zeros } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { peakLiveBytes } from '../../engine/graph/liveness.ts';
import { add, constant, input, mul } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { type DrawnLatents, denormalisationFor } from '../../models/latent-kinship.ts';
import type { UsableAutoencoder } from '../../models/saved-model.ts';
import type { LatentDecoder } from './pipeline.ts';
import { type Tile, tilesAlong } from './tiles.ts';

// B batch · Z H W latent · C H W picture

export interface DecoderOptions {
  /** What draws the latents. */
  readonly drawn: DrawnLatents;
  /** Of the latents. */
  readonly size: ImageSize;
  readonly backend: Backend;
  /** Pictures decoded at once. Default: one, on the calling thread. */
  readonly workers?: number | undefined;
  /** Threads of each worker. */
  readonly threads?: number | undefined;
  /** Side, in latents, of the tiles that are decoded one at a time, to bound memory. Default: a picture is decoded whole. */
  readonly tile?: number | undefined;
  readonly cache?: CompileCache | undefined;
}

export interface CompiledDecoder extends LatentDecoder {
  /** Of the autoencoder. */
  readonly name: string;
  /** Of the picture that a tile becomes; the whole picture if there is one. */
  readonly tileSize: ImageSize;
  /** Are there several tiles? */
  readonly isTiled: boolean;
  /** Do the tiles give what the whole picture would be? Else neighbours fade into each other. */
  readonly isExact: boolean;
  /** What a run takes for the values that it computes, in bytes. */
  readonly memory: number;
  release(): Promise<void>;
}

/**
 * Compiles the decoder of an autoencoder for the latents of a model. Pictures come in [−1, 1], whatever the range of the
 * autoencoder.
 *
 * @throws ConfigError if it does not belong to these latents
 */
export async function createDecoder(
  { network, card, weights }: UsableAutoencoder,
  { drawn, size, backend, workers, threads, tile, cache }: DecoderOptions,
): Promise<CompiledDecoder> {
  const { latentChannels, inChannels, factor } = network.config;
  const { scale, shift } = denormalisationFor(drawn, { card, network });
  const along = (latents: number) =>
    tilesAlong(latents, {
      core: tile ?? latents,
      factor,
      reach: tile === undefined ? 0 : network.decoderReach,
    });
  const [rows, columns] = [along(size.height), along(size.width)];
  const isTiled = rows.tiles.length * columns.tiles.length > 1;
  const latents = input('latents', [1, latentChannels, rows.length, columns.length]);
  const perPixel = (values: readonly number[]) =>
    constant(tensorOf('f32', [1, latentChannels, 1, 1], values));
  const raw = add(mul(latents, perPixel(scale.map((value) => 1 / value))), perPixel(shift));
  const decoded = toModelRange(network.decode(raw), network.pictureRange);
  // The autoencoder may have been given pictures of another range than it was trained with.
  const { pictureRange = [-1, 1] } = drawn.space;
  const graph = graphOf({ picture: toModelRange(decoded, pictureRange) });
  const session = await compileInference(graph, weights, backend, {
    ...(workers === undefined ? {} : { workers }),
    ...(threads === undefined ? {} : { threads }),
    cache,
  });
  const decodeTile = async (tile: HostTensor<'f32'>) =>
    (await session.run(new Map([['latents', tile]]))).get('picture') as HostTensor<'f32'>;
  const decodedShape = ([, height, width]: Shape): Shape => [inChannels, height! * factor, width! * factor];
  return {
    name: card.name,
    tileSize: { height: rows.length * factor, width: columns.length * factor },
    isTiled,
    isExact: !isTiled || network.decoderReach !== undefined,
    memory: peakLiveBytes(graph),
    decodedShape,
    async decode({ shape, data }) {
      const [count, ...latentShape] = shape as [number, ...number[]];
      const length = sizeOf(latentShape);
      const pictureShape = decodedShape(latentShape);
      const pictures = zeros('f32', [count, ...pictureShape]);
      const runs = Array.from({ length: count }, (_, i) => {
        const latent = data.subarray(i * length, (i + 1) * length);
        const size = sizeOf(pictureShape);
        const picture = pictures.data.subarray(i * size, (i + 1) * size);
        return rows.tiles.flatMap((row) =>
          columns.tiles.map(async (column) => {
            const window = cutOut(
              hostTensor('f32', latentShape, latent),
              row.start,
              column.start,
              latents.shape,
            );
            addTile(picture, pictureShape, await decodeTile(window), { row, column, factor });
          }),
        );
      });
      await Promise.all(runs.flat());
      return pictures;
    },
    release: () => session.release(),
  };
}

/** The part of a latent [Z, H, W] from a row and a column on, of the shape of a tile [1, Z, h, w]. */
function cutOut(
  { shape, data }: HostTensor<'f32'>,
  top: number,
  left: number,
  tileShape: Shape,
): HostTensor<'f32'> {
  const [, height, width] = shape as [number, number, number];
  const [, channels, rows, columns] = tileShape as [number, number, number, number];
  const tile = new Float32Array(sizeOf(tileShape));
  for (let line = 0; line < channels * rows; line++) {
    const [channel, row] = [Math.floor(line / rows), line % rows];
    const start = (channel * height + top + row) * width + left;
    tile.set(data.subarray(start, start + columns), line * columns);
  }
  return hostTensor('f32', tileShape, tile);
}

/** Adds the share of a tile [1, C, h, w] to a picture [C, H, W]. */
function addTile(
  picture: Float32Array,
  [, height, width]: Shape,
  { shape, data }: HostTensor<'f32'>,
  { row, column, factor }: { readonly row: Tile; readonly column: Tile; readonly factor: number },
): void {
  const [, channels, rows, columns] = shape as [number, number, number, number];
  for (let line = 0; line < channels * rows; line++) {
    const [channel, y] = [Math.floor(line / rows), line % rows];
    const share = row.shares[y]!;
    if (share === 0) continue;
    const target = (channel * height! + row.start * factor + y) * width! + column.start * factor;
    for (let x = 0; x < columns; x++)
      picture[target + x]! += share * column.shares[x]! * data[line * columns + x]!;
  }
}

/** Pictures of a range as values in [−1, 1]. */
function toModelRange(picture: Unlabelled, [black, white]: readonly [number, number]): Unlabelled {
  if (black === -1 && white === 1) return picture;
  const factor = 2 / (white - black);
  return add(mul(picture, factor), -1 - black * factor);
}
