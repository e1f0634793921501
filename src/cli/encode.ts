/** @file `udit encode`: pictures to shards of latents. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { plural } from '../charts/format.ts';
import { formatBytes } from '../core/byte-size.ts';
import { uditCommand } from '../core/command.ts';
import { type ImageSize, squareOf } from '../core/image-size.ts';
import { BACKGROUNDS, type Background, isBackground } from '../data/images/background.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { openAutoencoder, pathOf } from '../models/open-autoencoder-node.ts';
import type { EncodeResult } from '../tasks/encoding/encode-node.ts';
import { openPictures } from '../tasks/encoding/picture-files-node.ts';
import {
  PUBLIC_LAYOUTS,
  type PublicLayout,
  rangeOfLayout,
  writePublicLayout,
} from '../tasks/encoding/public-layouts-node.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { encodeWithProgress } from './encode-progress.ts';
import { interruptible } from './failures.ts';
import { imageSize, threadCount, wholeNumber } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';

interface EncodeFlags extends DeviceFlag {
  readonly out: string;
  readonly autoencoder: string;
  readonly imageSize: ImageSize;
  readonly background: Background;
  readonly shardSize: number;
  readonly layout?: PublicLayout;
  readonly threads?: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  npx udit encode photos --out latents                      a folder with a folder of images per class
  npx udit encode pictures --out latents --image-size 512   a folder with labels.csv or labels.json in it
  npx udit encode emoji-3d --out latents --autoencoder runs/autoencoder-emoji-3d --image-size 128
  npx udit encode imagenet-train --out latents              tar archives of WebDataset: 0001.jpg and 0001.cls
  npx udit encode photos --out latents --autoencoder my-autoencoder.safetensors
  npx udit encode photos --out latents --layout fast-dit    latents-fast-dit, for programs that read those of fast-DiT
  npx udit train --model U-DiT-S --data-path latents        train on them

The same command again goes on where it was stopped. Each shard holds mean and deviation of every picture and of its
mirror image, with labels and names; latents.json names all shards, and the pictures that cannot be read.
`;

export function defineEncode(command: Command, terminal: Terminal): void {
  command
    .argument(
      '<images>',
      'class folders, a folder with a list of labels, WebDataset archives (.tar), "emoji" or "emoji-3d"',
    )
    .requiredOption('--out <folder>', 'folder for the shards')
    .option('--autoencoder <name>', 'file, or name of fetched weights', 'sd-vae-ft-ema')
    .addOption(
      new Option('--image-size <size>', 'in pixels, to which pictures are cropped: side, or height x width')
        .argParser(imageSize)
        .default(squareOf(256), '256'),
    )
    .option(
      '--background <colour>',
      `what transparent pictures are laid on: ${BACKGROUNDS}`,
      background,
      'white',
    )
    .option('--shard-size <n>', 'pictures of a shard', wholeNumber({ from: 1 }), 2048)
    .addOption(
      new Option('--layout <name>', 'also writes <folder>-<name>, as that program reads latents').choices(
        PUBLIC_LAYOUTS,
      ),
    )
    .addOption(deviceOption())
    .option('--threads <n>', 'CPU threads (default: one per core)', threadCount)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action((images: string, flags: EncodeFlags) =>
      interruptible((signal) => encode(images, flags, terminal, signal)),
    );
}

function background(text: string): Background {
  if (isBackground(text)) return text;
  throw new InvalidArgumentError(`Allowed are ${BACKGROUNDS}.`);
}

async function encode(
  images: string,
  flags: EncodeFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { out, background, shardSize } = flags;
  await expectHarmlessOutputs('--out', [out], [images]);
  const source = await openPictures(images);
  const backend = await openDevice(flags.device);
  const autoencoder = await openAutoencoder(flags.autoencoder);
  for (const [label, text] of autoencoder.findings) terminal.err.write(`${label}: ${text}\n`);
  const result = await encodeWithProgress(
    {
      ...{ source, out, autoencoder, background, shardSize, signal },
      size: flags.imageSize,
      autoencoderPath: pathOf(flags.autoencoder),
      pictureRange: flags.layout && rangeOfLayout(flags.layout),
      backend,
      workers: flags.threads ?? physicalCores(),
    },
    terminal,
  ).finally(autoencoder.close);
  const layout = flags.layout && (await writePublicLayout(flags.layout, out, signal));
  terminal.out.write(
    flags.json === true
      ? `${JSON.stringify({ out, ...result, layout })}\n`
      : describeResult(out, result, layout),
  );
}

function describeResult(
  out: string,
  { pictures, resumed, shards, unreadable }: EncodeResult,
  layout?: string,
): string {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  return [
    `encoded     ${pictures} pictures in ${plural(shards.length, 'shard')} of ${out}, ${formatBytes(bytes)}`,
    ...(resumed === 0 ? [] : [`before      ${resumed} of them, by an earlier command`]),
    `left out    ${unreadable.length}${unreadable.length === 0 ? '' : ', listed in latents.json'}`,
    ...(layout === undefined ? [] : [`also        ${layout}`]),
    `train       ${uditCommand('train', '--data-path', out)}`,
    '',
  ].join('\n');
}
