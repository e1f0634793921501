/** @file Pictures decoded in tiles: where they lie, and how much each counts in the pixels that several of them cover. */

/** A tile along one axis. */
export interface Tile {
  /** Its first latent. */
  readonly start: number;
  /** Its share in each of its pixels; those of all tiles add up to 1 in each pixel. */
  readonly shares: Float32Array;
}

export interface TiledAxis {
  /** Latents of each tile. */
  readonly length: number;
  readonly tiles: readonly Tile[];
}

export interface TileOptions {
  /** Latents of which a tile makes the pixels. */
  readonly core: number;
  /** Pixels of a latent. */
  readonly factor: number;
  /** How many latents away something may still matter to a pixel; undefined: everything does. */
  readonly reach: number | undefined;
}

/** Of a tile: what is shared with each neighbour where everything matters to everything. */
const BLENDED_SHARE = 1 / 4;

/**
 * Tiles along an axis of so many latents. With a finite reach each tile sees all that its pixels depend on, and no pixel is
 * blended: the result is that of the whole. Else neighbours overlap, and one fades into the other.
 */
export function tilesAlong(latents: number, { core, factor, reach }: TileOptions): TiledAxis {
  const overlap = reach ?? Math.max(1, Math.round(core * BLENDED_SHARE));
  const length = Math.min(latents, reach === undefined ? core + overlap : core + 2 * reach);
  if (length === latents) {
    return { length, tiles: [{ start: 0, shares: new Float32Array(latents * factor).fill(1) }] };
  }
  return reach === undefined
    ? { length, tiles: blended(latents, length, overlap, factor) }
    : { length, tiles: exact(latents, length, core, reach, factor) };
}

function exact(latents: number, length: number, core: number, reach: number, factor: number): Tile[] {
  return Array.from({ length: Math.ceil(latents / core) }, (_, i) => {
    // At the border of the picture a tile has its reach on the other side.
    const start = Math.min(Math.max(i * core - reach, 0), latents - length);
    const [from, to] = [i * core - start, Math.min((i + 1) * core, latents) - start];
    return { start, shares: new Float32Array(length * factor).fill(1, from * factor, to * factor) };
  });
}

/** Evenly spread, each fading linearly where the next begins. */
function blended(latents: number, length: number, overlap: number, factor: number): Tile[] {
  const count = Math.ceil((latents - overlap) / (length - overlap));
  const starts = Array.from({ length: count }, (_, i) => Math.round((i * (latents - length)) / (count - 1)));
  const raw = starts.map((start, i) => {
    const before = i === 0 ? 0 : (starts[i - 1]! + length - start) * factor;
    const after = i === count - 1 ? 0 : (start + length - starts[i + 1]!) * factor;
    const pixels = length * factor;
    return Float32Array.from({ length: pixels }, (_, p) =>
      Math.min(1, before === 0 ? 1 : (p + 0.5) / before, after === 0 ? 1 : (pixels - p - 0.5) / after),
    );
  });
  const total = new Float32Array(latents * factor);
  for (const [i, weights] of raw.entries()) {
    for (const [p, weight] of weights.entries()) total[starts[i]! * factor + p]! += weight;
  }
  return raw.map((weights, i) => ({
    start: starts[i]!,
    shares: weights.map((weight, p) => weight / total[starts[i]! * factor + p]!),
  }));
}
