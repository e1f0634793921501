/** @file Pictures to be evaluated, wherever they come from: as bytes, in an order, a few at a time. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { type ImageSize, sameSize } from '../../core/image-size.ts';
import { imageAt } from '../../data/images/pixels.ts';
import { type ResampleFilter, resample } from '../../data/images/resample.ts';

// B batch · H W picture

export interface PictureSource {
  /** As the user calls it. */
  readonly name: string;
  readonly kind: 'folder' | 'archive' | 'data set' | 'latents' | 'model';
  readonly count: number;
  /** Of every picture. */
  readonly size: ImageSize;
  /** What the pictures depend on: equal for equal pictures, so that work on them need not be done twice. */
  readonly identity: unknown;
  /** The class of each picture, where it is known. */
  readonly labels?: ArrayLike<number> | undefined;
  /** What speaks against its use as a reference, in words. */
  readonly doubts: readonly string[];
  /** What a score needs to be repeated, beside the pictures. */
  readonly provenance: Readonly<Record<string, unknown>>;
  /** Pictures from number `start` on, `u8[B,H,W,3]`. */
  batches(start: number): AsyncGenerator<HostTensor<'u8'>>;
  close(): Promise<void>;
}

/** How pictures of another size are brought to that of the reference: Pillow's filters. */
export const RESIZE_RULES = ['box', 'bicubic'] as const satisfies readonly ResampleFilter[];
export type ResizeRule = (typeof RESIZE_RULES)[number];

/**
 * The samples at the size of the reference. Any resizing changes scores, so none is done unasked.
 *
 * @throws ConfigError if sizes differ and there is no rule
 */
export function atSizeOf(
  reference: Pick<PictureSource, 'name' | 'kind' | 'size'>,
  samples: PictureSource,
  rule: ResizeRule | undefined,
): PictureSource {
  const { size } = reference;
  if (sameSize(size, samples.size)) return samples;
  if (rule === undefined) {
    throw new ConfigError({
      where: samples.name,
      problem:
        `its pictures have ${inPixels(samples.size)} pixels, ` +
        `those of the reference ${reference.name} ${inPixels(size)}`,
      fix:
        reference.kind === 'folder'
          ? `read the reference as udit train does with --crop-reference, or resize the samples with --resize ${RESIZE_RULES.at(-1)}`
          : `compare pictures of one size, or say how to resize with --resize ${RESIZE_RULES.at(-1)}`,
    });
  }
  return {
    ...samples,
    size,
    identity: { of: samples.identity, size, rule },
    provenance: { ...samples.provenance, resized: `${inPixels(samples.size)} by Pillow's ${rule}` },
    async *batches(start) {
      for await (const batch of samples.batches(start)) yield resized(batch, size, rule);
    },
  };
}

function resized(batch: HostTensor<'u8'>, { height, width }: ImageSize, rule: ResizeRule): HostTensor<'u8'> {
  const count = batch.shape[0]!;
  const data = new Uint8Array(count * height * width * 3);
  for (let i = 0; i < count; i++) {
    data.set(resample(imageAt(batch, i), width, height, rule).data, i * height * width * 3);
  }
  return hostTensor('u8', [count, height, width, 3], data);
}

/** `48x32`, height first. */
export const inPixels = ({ height, width }: ImageSize): string => `${height}x${width}`;

/** Are the pictures ordered by class, as if files were sorted by name? */
export function isSortedByClass({ labels }: Pick<PictureSource, 'labels'>): boolean {
  if (labels === undefined) return false;
  const classes = new Set<number>();
  for (let i = 0; i < labels.length; i++) {
    if (i > 0 && labels[i] !== labels[i - 1] && classes.has(labels[i]!)) return false;
    classes.add(labels[i]!);
  }
  return classes.size > 1;
}
