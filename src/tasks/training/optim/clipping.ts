/** @file Gradient clipping by the norm of all gradients together. */

/** L2 norm of all gradients together, summed in float64 in a fixed order. */
export function gradientNorm(gradients: Float32Array): number {
  // Four sums at a time: each addition would wait for the one before it otherwise.
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = gradients.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const w = gradients[i]!;
    const x = gradients[i + 1]!;
    const y = gradients[i + 2]!;
    const z = gradients[i + 3]!;
    a += w * w;
    b += x * x;
    c += y * y;
    d += z * z;
  }
  for (let i = whole; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return Math.sqrt(a + b + c + d);
}

/** The factor that brings a norm down to `maxNorm` (PyTorch's `clip_grad_norm_`); 1 where clipping is off. */
export function clippingScale(norm: number, maxNorm: number | null): number {
  return maxNorm === null ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
}
