/** @file How pictures had to be changed before a model sees them. */

/**
 * `turned` by a tag of their file, whether that is followed or not; `transparent` until they are laid on a colour;
 * `clipped` grey levels of 16 bits; `cropped` to another shape; `enlarged` beyond their own pixels.
 */
export const TREATMENTS = ['turned', 'transparent', 'clipped', 'cropped', 'enlarged'] as const;

export type Treatment = (typeof TREATMENTS)[number];

/** Which samples had each treatment: their indices, in order. */
export type TreatedSamples = Readonly<Record<Treatment, readonly number[]>>;

export const UNTREATED: TreatedSamples = treatedBy(() => []);

/** A list for each treatment. */
export function treatedBy(list: (treatment: Treatment) => readonly number[]): TreatedSamples {
  return Object.fromEntries(TREATMENTS.map((name) => [name, list(name)])) as unknown as TreatedSamples;
}
