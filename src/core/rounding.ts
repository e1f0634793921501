/** @file Rounding as other languages do it. */

/** As Python and ONNX round: a half goes to the even neighbour. */
export function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const remainder = value - below;
  if (remainder !== 0.5) return remainder < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
