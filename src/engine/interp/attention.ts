/** @file Float64 rules of normalisation, rotary embedding and attention, written as their definitions. */
import { type EvaluateRule, joinRows, rowsOf, type Value } from './value.ts';

// B batch · T S tokens · heads · headDim

const sumOf = (row: Float64Array): number => row.reduce((total, x) => total + x, 0);
const dot = (a: Float64Array, b: Float64Array): number => a.reduce((total, x, i) => total + x * b[i]!, 0);

function softmaxRow(row: Float64Array): Float64Array {
  const highest = Math.max(...row);
  const exponentials = row.map((x) => Math.exp(x - highest));
  const total = sumOf(exponentials);
  return exponentials.map((x) => x / total);
}

function inverseDeviationOf(row: Float64Array, eps: number): number {
  const mean = sumOf(row) / row.length;
  const variance = sumOf(row.map((x) => (x - mean) ** 2)) / row.length;
  return 1 / Math.sqrt(variance + eps);
}

function inverseNormOf(row: Float64Array, eps: number): number {
  return 1 / Math.max(Math.sqrt(dot(row, row)), eps);
}

export const softmax: EvaluateRule<'softmax'> = (_, __, x) => joinRows(rowsOf(x!).map(softmaxRow));

export const layerNorm: EvaluateRule<'layerNorm'> = (_, { eps }, x) =>
  joinRows(
    rowsOf(x!).map((row) => {
      const mean = sumOf(row) / row.length;
      const scale = inverseDeviationOf(row, eps);
      return row.map((element) => (element - mean) * scale);
    }),
  );

export const modulatedNorm: EvaluateRule<'modulatedNorm'> = (shape, params, x, scale, shift) => {
  const width = shape.at(-1)!;
  return layerNorm(shape, params, x).map(
    (value, i) => value * scale!.data[i % width]! + shift!.data[i % width]!,
  );
};

export const inverseDeviation: EvaluateRule<'inverseDeviation'> = (_, { eps }, x) =>
  Float64Array.from(rowsOf(x!), (row) => inverseDeviationOf(row, eps));

export const l2Normalize: EvaluateRule<'l2Normalize'> = (_, { eps }, x) =>
  joinRows(
    rowsOf(x!).map((row) => {
      const scale = inverseNormOf(row, eps);
      return row.map((element) => element * scale);
    }),
  );

export const inverseNorm: EvaluateRule<'inverseNorm'> = (_, { eps }, x) =>
  Float64Array.from(rowsOf(x!), (row) => inverseNormOf(row, eps));

export const rotary: EvaluateRule<'rotary'> = (_, { heads }, x, cos, sin) => {
  const [, tokens, width] = x!.shape as [number, number, number];
  const pairs = width / heads / 2;
  const rotated = new Float64Array(x!.data.length);
  for (let position = 0; position < rotated.length; position += 2) {
    const token = Math.floor(position / width) % tokens;
    const pair = (position / 2) % pairs;
    const [c, s] = [cos!.data[token * pairs + pair]!, sin!.data[token * pairs + pair]!];
    const [even, odd] = [x!.data[position]!, x!.data[position + 1]!];
    rotated[position] = even * c - odd * s;
    rotated[position + 1] = even * s + odd * c;
  }
  return rotated;
};

/** The row of one head of one token: x [B, T, heads·headDim]. */
function headOf(x: Value, batch: number, token: number, head: number, heads: number): Float64Array {
  const [, tokens, width] = x.shape as [number, number, number];
  const start = (batch * tokens + token) * width + head * (width / heads);
  return x.data.subarray(start, start + width / heads);
}

/** softmax over S of scale · q·k, for one query token. */
function weightsOf(
  q: Value,
  k: Value,
  { heads, scale }: { readonly heads: number; readonly scale: number },
  [batch, head, token]: readonly [number, number, number],
): Float64Array {
  const query = headOf(q, batch, token, head, heads);
  const scores = Float64Array.from(
    { length: k.shape[1]! },
    (_, source) => scale * dot(query, headOf(k, batch, source, head, heads)),
  );
  return softmaxRow(scores);
}

export const attentionWeights: EvaluateRule<'attentionWeights'> = (shape, params, q, k) => {
  const [batches, heads, tokens] = shape as [number, number, number];
  const rows: Float64Array[] = [];
  for (let batch = 0; batch < batches; batch++) {
    for (let head = 0; head < heads; head++) {
      for (let token = 0; token < tokens; token++) rows.push(weightsOf(q!, k!, params, [batch, head, token]));
    }
  }
  return joinRows(rows);
};

export const attention: EvaluateRule<'attention'> = (shape, params, q, k, v) => {
  const [batches, tokens, width] = shape as [number, number, number];
  const headDim = width / params.heads;
  const rows: Float64Array[] = [];
  for (let batch = 0; batch < batches; batch++) {
    for (let token = 0; token < tokens; token++) {
      for (let head = 0; head < params.heads; head++) {
        const mixed = new Float64Array(headDim);
        weightsOf(q!, k!, params, [batch, head, token]).forEach((weight, source) => {
          headOf(v!, batch, source, head, params.heads).forEach((x, i) => {
            mixed[i] = mixed[i]! + weight * x;
          });
        });
        rows.push(mixed);
      }
    }
  }
  return joinRows(rows);
};
