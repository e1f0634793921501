/**
 * @file Published weights by name: what and where they are, and on which terms.
 *
 * Sizes and SHA-256 are those that the pages on Hugging Face show (the object id of Git LFS is the SHA-256). Files whose
 * page or hash we have not seen are without one; their first download is trusted and later ones compared with it.
 * Addresses name a revision where we know it, so that the file behind a name never changes.
 */
import { uditCommand } from '../../core/command.ts';
import { ConfigError } from '../../core/errors.ts';
import { nearest } from '../../core/nearest.ts';
import type { LicenceId } from './licences.ts';

export interface PublishedFile {
  /** As given to `udit fetch`; capitals do not matter. */
  readonly name: string;
  readonly kind: 'denoiser' | 'autoencoder' | 'features';
  /** What it is, in a few words. */
  readonly about: string;
  /** The preset of a denoiser; none for networks that udit does not have. */
  readonly preset?: string;
  /** Of an autoencoder: the diffusion model whose latents it makes and takes. */
  readonly latents?: string;
  /** Is it a fast one, for previews? */
  readonly isTiny?: true;
  /** What to do with it once it is here. */
  readonly use: string;
  readonly url: string;
  /** Where its authors describe it and state its licence. */
  readonly page: string;
  /** Bytes, or about how many. */
  readonly size: { readonly bytes: number; readonly exact: boolean };
  /** In hexadecimal; undefined where we do not know it. */
  readonly sha256?: string;
  readonly licence: LicenceId;
  /** What else the authors say about the terms. */
  readonly licenceNote?: string;
}

export const HUGGING_FACE = 'https://huggingface.co';

const exactly = (bytes: number) => ({ bytes, exact: true });
const about = (bytes: number) => ({ bytes, exact: false });

/** A file of a repository on Hugging Face, at a revision. */
function onHuggingFace(repository: string, revision: string, path: string) {
  return {
    url: `${HUGGING_FACE}/${repository}/resolve/${revision}/${path}`,
    page: `${HUGGING_FACE}/${repository}`,
  };
}

/** What to do with a file of this kind once it is here. */
const USES: Readonly<Record<PublishedFile['kind'], string>> = {
  denoiser:
    'give its name where a checkpoint is asked for; udit sample decodes its latents with sd-vae-ft-ema',
  autoencoder: 'give its name to udit sample: --autoencoder',
  features: 'give its name to udit evaluate: --extractor',
};

function udit(model: string, steps: string, fid: string, file: Pick<PublishedFile, 'size' | 'sha256'>) {
  const name = `${model}-${steps}`;
  return {
    name,
    kind: 'denoiser',
    about: `${model}, ImageNet 256×256, ${steps} steps, FID ${fid} without guidance`,
    preset: model,
    ...onHuggingFace('yuchuantian/U-DiT', 'b912cefded105df4eea5d4b0b35cc1ba9013f2d8', `${name}.pt`),
    ...file,
    licence: 'Apache-2.0',
    licenceNote: 'the authors publish their code, unlike these weights, under CC BY-NC 4.0',
  } as const;
}

function dit(imageSize: number, steps: string, fid: string) {
  const name = `DiT-XL-2-${imageSize}x${imageSize}`;
  return {
    name,
    kind: 'denoiser',
    about: `DiT-XL/2, ImageNet ${imageSize}×${imageSize}, ${steps} steps, FID ${fid} at guidance 1.5`,
    preset: 'DiT-XL/2',
    url: `https://dl.fbaipublicfiles.com/DiT/models/${name}.pt`,
    page: 'https://github.com/facebookresearch/DiT',
    size: about(2.7e9),
    licence: 'CC-BY-NC-4.0',
  } as const;
}

function ditLlama(
  model: string,
  {
    steps,
    fid,
    revision = 'main',
    ...file
  }: Pick<PublishedFile, 'size' | 'sha256'> & {
    readonly steps: number;
    readonly fid: string;
    readonly revision?: string;
  },
) {
  const preset = `DiT-LLaMA-${model.replace('-', '/')}`;
  return {
    name: `DiT-LLaMA-${model}`,
    kind: 'denoiser',
    about: `${preset}, ImageNet 256×256, ${steps / 1000}k steps, FID ${fid} at guidance 1.5`,
    preset,
    ...onHuggingFace(`mtgv/DiTLLaMA-${model}`, revision, `${String(steps).padStart(7, '0')}.pt`),
    ...file,
    licence: 'Apache-2.0',
  } as const;
}

function autoencoder(variant: string, file: Pick<PublishedFile, 'sha256'> & { readonly revision: string }) {
  const { revision, ...known } = file;
  const name = `sd-vae-ft-${variant}`;
  return {
    name,
    kind: 'autoencoder',
    about: `Stable Diffusion's autoencoder with the ft-${variant} decoder: latents to pictures and back`,
    latents: 'Stable Diffusion',
    ...onHuggingFace(`stabilityai/${name}`, revision, 'diffusion_pytorch_model.safetensors'),
    size: exactly(334_643_276),
    ...known,
    licence: 'MIT',
  } as const;
}

/** In one file for encoder and decoder, with diffusers' names; TAEF2 alone is called otherwise. */
function tinyAutoencoder(
  name: string,
  latents: string,
  bytes: number,
  file = 'diffusion_pytorch_model.safetensors',
) {
  return {
    name,
    kind: 'autoencoder',
    about: `tiny autoencoder for latents of ${latents}: fast, and good enough for previews`,
    latents,
    isTiny: true,
    ...onHuggingFace(`madebyollin/${name.toLowerCase()}`, 'main', file),
    size: about(bytes),
    licence: 'MIT',
  } as const;
}

function dinov2(size: 'S' | 'B' | 'L', file: Pick<PublishedFile, 'size'>) {
  const name = `dinov2_vit${size.toLowerCase()}14`;
  return {
    name: `DINOv2-${size}-14`,
    kind: 'features',
    about: `DINOv2 ViT-${size}/14 without registers: the features that FD-DINOv2 compares`,
    url: `https://dl.fbaipublicfiles.com/dinov2/${name}/${name}_pretrain.pth`,
    page: 'https://github.com/facebookresearch/dinov2',
    ...file,
    licence: 'Apache-2.0',
  } as const;
}

const ENTRIES: readonly Omit<PublishedFile, 'use'>[] = [
  udit('U-DiT-S', '400k', '31.51', { size: about(236e6) }),
  udit('U-DiT-B', '400k', '16.64', {
    size: about(925e6),
    sha256: '124d52f664ae8f815eff8646bada8572cc8a710193c7e5598f05022d26772d49',
  }),
  udit('U-DiT-B', '1000k', '12.87', {
    size: exactly(925_333_702),
    sha256: '3196f04fc88e58c783ec76605f6bea26b01816525e85b453e80c2849491ee89e',
  }),
  udit('U-DiT-L', '400k', '10.08', {
    size: about(3.67e9),
    sha256: '2300f6e588c45521c71d112988eae3e0e9ca5ad2a02340f07953c3f2d0aef727',
  }),
  udit('U-DiT-L', '1000k', '7.54', {
    size: exactly(3_665_671_302),
    sha256: 'ddd1d6bbd6a5e88d5dfd08f2dd8537efcbc1bb0ee6163a50119fb71eb63965cc',
  }),
  dit(256, '7M', '2.27'),
  dit(512, '3M', '3.04'),
  ditLlama('B-4', { steps: 400_000, fid: '39.51', size: about(2.1e9) }),
  ditLlama('L-4', {
    steps: 400_000,
    fid: '18.64',
    revision: 'e56941baa01736ff5b4981c495d65a79eaf10ef0',
    size: exactly(7_427_409_860),
    sha256: '375ca343d317b6d4dba3fe13e8d4938025dab982d14513ac2bd99008c5e90d49',
  }),
  ditLlama('XL-4', {
    steps: 400_000,
    fid: '18.69',
    revision: 'a735c58a3ddd1bc938049e2dbe4c41fdbcfc6b25',
    size: about(10.8e9),
  }),
  ditLlama('XL-2', { steps: 2_400_000, fid: '2.42', size: about(10.8e9) }),
  autoencoder('ema', { revision: 'f04b2c4b98319346dad8c65879f680b1997b204a' }),
  autoencoder('mse', {
    revision: '31f26fdeee1355a5c34592e401dd41e45d25a493',
    sha256: 'a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815',
  }),
  tinyAutoencoder('TAESD', 'Stable Diffusion', 9.8e6),
  tinyAutoencoder('TAESDXL', 'SDXL', 9.8e6),
  tinyAutoencoder('TAESD3', 'Stable Diffusion 3', 9.9e6),
  tinyAutoencoder('TAEF1', 'FLUX.1', 9.9e6),
  tinyAutoencoder('TAEF2', 'FLUX.2', 5.4e6, 'taef2.safetensors'),
  {
    name: 'fid-inception',
    kind: 'features',
    about: "pytorch-fid's Inception v3: the features that FID compares",
    url: 'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth',
    page: 'https://github.com/mseitzer/pytorch-fid',
    size: exactly(95_628_359),
    sha256: '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2',
    licence: 'Apache-2.0',
  },
  dinov2('S', { size: about(88e6) }),
  dinov2('B', { size: about(346e6) }),
  dinov2('L', { size: about(1.22e9) }),
];

export const CATALOGUE: readonly PublishedFile[] = ENTRIES.map((entry) => ({
  ...entry,
  use: USES[entry.kind],
}));

/** The entry of this name, whatever its capitals; a million steps may be `1m` or `1000k`. */
export function findPublished(name: string): PublishedFile | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/-1m$/, '-1000k');
  return CATALOGUE.find((file) => plain(file.name) === plain(name));
}

/** The entry of this content. */
export function findPublishedByHash(sha256: string): PublishedFile | undefined {
  return CATALOGUE.find((file) => file.sha256 === sha256);
}

/**
 * Published weights by their name in `udit fetch --list`, whatever its capitals.
 *
 * @throws ConfigError naming the nearest entry if there is none of this name
 */
export function publishedFile(name: string): PublishedFile {
  const file = findPublished(name);
  if (file !== undefined) return file;
  const names = CATALOGUE.map((entry) => entry.name.toLowerCase());
  const near = nearest(name.toLowerCase(), names);
  const suggestion = near === undefined ? '' : `did you mean ${findPublished(near)!.name}? `;
  throw new ConfigError({
    where: name,
    problem: 'there are no published weights of this name',
    fix: `${suggestion}${uditCommand('fetch', '--list')} shows all`,
  });
}
