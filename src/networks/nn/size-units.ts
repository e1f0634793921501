/** @file The one place that tells which sizes a network can be traced at. */
import { ConfigError } from '../../core/errors.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';

/** What both sides of an image must be a multiple of. */
export interface SizeUnit {
  readonly unit: number;
  /** As in “the patch size”. */
  readonly because: string;
  /** What else would help, as in “another patch size”. */
  readonly orElse?: string;
}

/**
 * @param where - the network's family
 * @throws ConfigError that names the next size that is a multiple of all units
 */
export function expectSize(where: string, size: ImageSize, units: readonly SizeUnit[]): void {
  for (const { unit, because, orElse } of units) {
    const side = (['height', 'width'] as const).find((name) => size[name] % unit !== 0);
    if (side === undefined) continue;
    const all = units.map((each) => each.unit).reduce(leastCommonMultiple);
    const next = (length: number) => Math.ceil(length / all) * all;
    const works = formatImageSize({ height: next(size.height), width: next(size.width) });
    const which = size.height === size.width ? '' : `: ${side} ${size[side]}`;
    throw new ConfigError({
      where,
      problem: `input size ${formatImageSize(size)}${which} is not a multiple of ${unit}, ${because}`,
      fix: `use input size ${works}${orElse === undefined ? '' : ` or ${orElse}`}`,
    });
  }
}

export function leastCommonMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}
