/** @file An animated picture: pictures side by side that change from frame to frame, there and back. */
import { hostTensor } from '../../../core/host-tensor.ts';
import { expectOptions, type OptionTable } from '../../../core/options.ts';
import { writeAnimation } from '../../../data/images/animation-node.ts';
import { drawSheet } from '../../../data/images/sheet.ts';
import { MOST_COLUMNS, Sheet } from './sheet.ts';
import { pixelsOf, type Sink } from './sink.ts';

export interface AnimationOptions {
  /** Pictures of each frame, in rows. */
  readonly pictures: number;
  /** Frames from one end to the other. The frames of a picture follow each other. */
  readonly frames: number;
}

const ANIMATION_OPTIONS: OptionTable<AnimationOptions> = { pictures: 'needed', frames: 'needed' };

/** Milliseconds that a frame is shown, and one at an end. */
const [DELAY, DELAY_AT_END] = [80, 600];

/**
 * An animated WebP without loss, which goes there and back for ever and is written when all pictures are there.
 *
 * @throws ConfigError for an option that does not exist or is missing
 */
export function animationFile(path: string, options: AnimationOptions): Sink {
  expectOptions(options, 'animationFile', ANIMATION_OPTIONS);
  const { pictures, frames } = options;
  const shown = new Sheet(frames, pictures);
  return {
    async put(batch) {
      const pixels = pixelsOf(batch, 'animationFile');
      for (let i = 0; i < batch.labels.length; i++) {
        const position = batch.first + i;
        shown.place(position % frames, Math.floor(position / frames), pixels, i);
      }
    },
    async close() {
      if (shown.images === undefined) return { paths: [] };
      const { shape, data } = shown.images;
      const frameShape = [pictures, ...shape.slice(1)];
      const size = data.length / frames;
      const columns = Math.min(pictures, MOST_COLUMNS);
      const there = Array.from({ length: frames }, (_, frame) =>
        drawSheet(hostTensor('u8', frameShape, data.subarray(frame * size, (frame + 1) * size)), { columns }),
      );
      const thereAndBack = [...there, ...there.slice(1, -1).reverse()];
      await writeAnimation(
        path,
        thereAndBack.map((image) => ({
          image,
          delay: image === there[0] || image === there.at(-1) ? DELAY_AT_END : DELAY,
        })),
      );
      return { paths: [path] };
    },
  };
}
