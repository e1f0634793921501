/** @file Networks that come with the package, by their names. */
import { fileURLToPath } from 'node:url';

/** A U-DiT of emoji of 32×32 pixels; one of latents of rendered emoji of 128×128, and the autoencoder of these latents. */
export const BUNDLED_NAMES = ['u-dit-xs-emoji', 'u-dit-xs-emoji-3d', 'emoji-3d-autoencoder'] as const;
export type BundledName = (typeof BUNDLED_NAMES)[number];

/** The path of a bundled network, the same from `src/` and from `dist/`; undefined for another name. */
export function bundledFile(name: BundledName): string;
export function bundledFile(name: string): string | undefined;
export function bundledFile(name: string): string | undefined {
  if (!BUNDLED_NAMES.some((known) => known === name)) return undefined;
  return fileURLToPath(new URL(`../../weights/${name}.safetensors`, import.meta.url));
}
