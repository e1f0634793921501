/** @file The embedded data sets as pictures that can be encoded. */
import { readEmojiCatalogue } from '../../data/datasets/emoji-catalogue-node.ts';
import { ARTWORK_OF, drawEmoji, type EmojiKind, isDirected } from '../../data/datasets/emoji-node.ts';
import type { PictureFiles } from './picture-files.ts';

/** Side at which drawings of lines are rasterised: twice that of usual pictures. */
const RASTER_SIZE = 512;

/** @throws ConfigError if the package of the pictures is not installed */
export async function openEmojiPictures(kind: EmojiKind): Promise<PictureFiles> {
  const artwork = ARTWORK_OF[kind];
  const { classNames, emojis, sources } = await readEmojiCatalogue(artwork);
  return {
    name: kind,
    recognised: `the emoji of ${sources[0]}`,
    classNames,
    labels: Int32Array.from(emojis, ({ label }) => label),
    names: emojis.map(({ stem }) => stem),
    identity: sources,
    hasMirror: (index) => !isDirected(classNames[emojis[index]!.label]!),
    file: async (index) => {
      const { path } = emojis[index]!;
      return path.endsWith('.svg') ? drawEmoji(path, RASTER_SIZE, artwork).png().toBuffer() : path;
    },
  };
}
