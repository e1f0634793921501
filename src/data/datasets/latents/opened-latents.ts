/** @file What was found where latents lie. */
import type { LatentStore } from './latent-store.ts';

export interface OpenedLatents {
  readonly store: LatentStore;
  /** Whose way of storing them it is. */
  readonly layout: string;
  /** How the numbers were understood. */
  readonly told: string;
  readonly warnings: readonly string[];
}
