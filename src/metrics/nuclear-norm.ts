/**
 * @file Factors of covariances and the nuclear norm of their product, in float64.
 *
 * With Σ₁ = L₁ L₁ᵀ and Σ₂ = L₂ L₂ᵀ the trace of (Σ₁ Σ₂)^½ is the sum of the singular values of L₁ᵀ L₂. No square root is
 * taken of an eigenvalue that rounding has moved: eigenvalues of Σ₁ Σ₂ have errors of ε ‖Σ‖², of which a root would make
 * √ε ‖Σ‖; singular values have errors of ε ‖Σ‖ (LOG.md has the measurements).
 *
 * Matrices are lists of rows. Loops take several rows at once, which share what they read: that is most of the time.
 */

// n features · r rank of a factor

/** Rows that loops take at once. */
const AT_ONCE = 4;

/** A covariance as P L Lᵀ Pᵀ, where L is lower triangular. */
export interface Factor {
  /** Columns of L: column j has zeros before row j. */
  readonly columns: readonly Float64Array[];
  /** Row i of L belongs to feature `order[i]`. */
  readonly order: Int32Array;
}

/**
 * Cholesky's factor with the largest pivot taken at each step (Higham 1990). Where rounding alone is left of the matrix it
 * ends, so a matrix of rank r has r columns.
 *
 * @param matrix - [n, n] row by row, symmetric without negative eigenvalues
 */
export function pivotedCholesky(matrix: Float64Array, n: number): Factor {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const diagonal = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]!);
  const limit = n * Number.EPSILON * diagonal.reduce((largest, value) => Math.max(largest, value), 0);
  // Rows of zeros after the last, for loops that take several at once.
  const rows = Array.from({ length: n + AT_ONCE - 1 }, () => new Float64Array(n));
  const known = new Float64Array(rows.length);
  let rank = 0;
  for (; rank < n; rank++) {
    let pivot = rank;
    for (let i = rank + 1; i < n; i++) if (diagonal[i]! > diagonal[pivot]!) pivot = i;
    if (!(diagonal[pivot]! > limit)) break;
    for (const list of [order, diagonal, rows] as { [index: number]: unknown }[]) {
      [list[rank], list[pivot]] = [list[pivot], list[rank]];
    }
    const [feature, pivotRow] = [order[rank]!, rows[rank]!];
    const root = Math.sqrt(diagonal[rank]!);
    pivotRow[rank] = root;
    const before = pivotRow.subarray(0, rank);
    for (let i = rank + 1; i < n; i += AT_ONCE) multiplyRows(rows, i, 0, before, known);
    const column = matrix.subarray(feature * n, (feature + 1) * n);
    for (let i = rank + 1; i < n; i++) {
      const value = (column[order[i]!]! - known[i]!) / root;
      rows[i]![rank] = value;
      diagonal[i]! -= value * value;
    }
  }
  const columns = Array.from({ length: rank }, (_, j) =>
    Float64Array.from({ length: n }, (_, i) => rows[i]![j]!),
  );
  return { columns, order };
}

/** The sum of the singular values of the product of one factor's transpose and the other. */
export function nuclearNormOfProduct(first: Factor, second: Factor): number {
  const [tall, wide] = first.columns.length >= second.columns.length ? [first, second] : [second, first];
  const rank = wide.columns.length;
  if (rank === 0) return 0;
  const { diagonal, above } = bidiagonalise(productOf(tall, wide), rank);
  // Its singular values are the positive eigenvalues of a tridiagonal matrix of twice the size with nothing on its diagonal.
  const beside = new Float64Array(2 * rank);
  for (let i = 0; i < rank; i++) {
    beside[2 * i] = diagonal[i]!;
    beside[2 * i + 1] = above[i]!;
  }
  const eigenvalues = tridiagonalEigenvalues(new Float64Array(2 * rank), beside);
  return eigenvalues.reduce((sum, value) => sum + Math.max(0, value), 0);
}

/** Rows `i` … `i + 3` of a matrix, whose number of rows is a multiple of four. */
const fourOf = (matrix: readonly Row[], i: number) =>
  [matrix[i]!, matrix[i + 1]!, matrix[i + 2]!, matrix[i + 3]!] as const;

/**
 * The product of the transposed tall factor and the wide one, and rows of zeros up to a multiple of four: they change no
 * singular value. Features are summed in the order of the wide factor, whose columns begin with zeros.
 */
function productOf(tall: Factor, wide: Factor): Row[] {
  const n = tall.order.length;
  const rowOf = new Int32Array(n);
  for (const [row, feature] of tall.order.entries()) rowOf[feature] = row;
  const padded = Math.ceil(tall.columns.length / AT_ONCE) * AT_ONCE;
  const left = Array.from({ length: padded }, (_, i) => {
    const column = tall.columns[i];
    return column
      ? Float64Array.from(wide.order, (feature) => column[rowOf[feature]!]!)
      : new Float64Array(n);
  });
  const product = left.map(() => new Float64Array(wide.columns.length));
  const none = new Float64Array(n);
  for (let i = 0; i < padded; i += AT_ONCE) {
    for (let j = 0; j < wide.columns.length; j += 2) {
      multiplyColumns(fourOf(left, i), wide.columns[j]!, wide.columns[j + 1] ?? none, j, fourOf(product, i));
    }
  }
  return product;
}

/** Products of four rows with two columns from `start` on, into two neighbouring columns of four rows. */
function multiplyColumns(
  [l0, l1, l2, l3]: ReturnType<typeof fourOf>,
  first: Row,
  second: Row,
  start: number,
  [p0, p1, p2, p3]: ReturnType<typeof fourOf>,
): void {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let t0 = 0;
  let t1 = 0;
  let t2 = 0;
  let t3 = 0;
  for (let k = start; k < first.length; k++) {
    const a = first[k]!;
    const b = second[k]!;
    s0 += l0[k]! * a;
    s1 += l1[k]! * a;
    s2 += l2[k]! * a;
    s3 += l3[k]! * a;
    t0 += l0[k]! * b;
    t1 += l1[k]! * b;
    t2 += l2[k]! * b;
    t3 += l3[k]! * b;
  }
  // Beyond the last column nothing is written.
  p0[start] = s0;
  p1[start] = s1;
  p2[start] = s2;
  p3[start] = s3;
  p0[start + 1] = t0;
  p1[start + 1] = t1;
  p2[start + 1] = t2;
  p3[start + 1] = t3;
}

type Row = Float64Array;

/** Sum of products from `start` to `end`; four partial sums do not wait for each other. */
function dot(a: Row, b: Row, start: number, end: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = start;
  for (; k + 3 < end; k += 4) {
    s0 += a[k]! * b[k]!;
    s1 += a[k + 1]! * b[k + 1]!;
    s2 += a[k + 2]! * b[k + 2]!;
    s3 += a[k + 3]! * b[k + 3]!;
  }
  for (; k < end; k++) s0 += a[k]! * b[k]!;
  return s0 + s1 + (s2 + s3);
}

/** What a step does to the matrix: −u yᵀ − x vᵀ. u and v are the normals of its mirrors. */
interface Update {
  readonly u: Float64Array;
  readonly y: Float64Array;
  readonly x: Float64Array;
  readonly v: Float64Array;
}

/**
 * A matrix of the same singular values that is zero but for its diagonal and what is above it (Golub & Kahan 1965). Each
 * step mirrors a column, then a row. Its update is made when the next step first reads the matrix, which is larger than
 * caches are.
 *
 * @param matrix - at least `n` rows of `n`, a multiple of four; they are overwritten
 * @returns the diagonal and what is above it; the last of those is 0
 */
function bidiagonalise(matrix: readonly Row[], n: number) {
  const m = matrix.length;
  const [diagonal, above] = [new Float64Array(n), new Float64Array(n)];
  const noUpdate = (): Update => ({
    ...{ u: new Float64Array(m), x: new Float64Array(m), v: new Float64Array(n), y: new Float64Array(n) },
  });
  let last = noUpdate();
  for (let step = 0; step < n; step++) {
    const next = noUpdate();
    const { u, y, x, v } = next;
    for (let i = step; i < m; i++) {
      u[i] = matrix[i]![step]! - last.u[i]! * last.y[step]! - last.x[i]! * last.v[step]!;
    }
    const column = mirror(u, step);
    diagonal[step] = column.length;
    // Rows before this step are finished: whatever happens to them, nobody reads them.
    const first = step - (step % AT_ONCE);
    for (let i = first; i < m; i += AT_ONCE) updateRows(matrix, i, step + 1, last, next, column.factor);
    const row = matrix[step]!;
    for (let j = step + 1; j < n; j++) v[j] = row[j]! - u[step]! * y[j]!;
    const { factor, length } = mirror(v, step + 1);
    above[step] = length;
    const along = dot(y, v, step + 1, n);
    for (let i = first; i < m; i += AT_ONCE) multiplyRows(matrix, i, step + 1, v, x);
    for (let i = first; i < m; i++) x[i] = factor * (x[i]! - u[i]! * along);
    last = next;
  }
  return { diagonal, above };
}

/** Updates four rows from column `start` on, and adds them to y, each with its part of the next mirror. */
function updateRows(
  matrix: readonly Row[],
  i: number,
  start: number,
  last: Update,
  { u, y }: Update,
  factor: number,
): void {
  const [r0, r1, r2, r3] = fourOf(matrix, i);
  const { u: lastU, x: lastX, y: lastY, v: lastV } = last;
  const [u0, u1, u2, u3] = [lastU[i]!, lastU[i + 1]!, lastU[i + 2]!, lastU[i + 3]!];
  const [x0, x1, x2, x3] = [lastX[i]!, lastX[i + 1]!, lastX[i + 2]!, lastX[i + 3]!];
  const [w0, w1, w2, w3] = [factor * u[i]!, factor * u[i + 1]!, factor * u[i + 2]!, factor * u[i + 3]!];
  for (let j = start; j < y.length; j++) {
    const yj = lastY[j]!;
    const vj = lastV[j]!;
    const a0 = r0[j]! - u0 * yj - x0 * vj;
    const a1 = r1[j]! - u1 * yj - x1 * vj;
    const a2 = r2[j]! - u2 * yj - x2 * vj;
    const a3 = r3[j]! - u3 * yj - x3 * vj;
    r0[j] = a0;
    r1[j] = a1;
    r2[j] = a2;
    r3[j] = a3;
    y[j] = y[j]! + (w0 * a0 + w1 * a1) + (w2 * a2 + w3 * a3);
  }
}

/** Products of four rows, from column `start` on, with v. */
function multiplyRows(matrix: readonly Row[], i: number, start: number, v: Row, products: Row): void {
  const [r0, r1, r2, r3] = fourOf(matrix, i);
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let j = start; j < v.length; j++) {
    const value = v[j]!;
    s0 += r0[j]! * value;
    s1 += r1[j]! * value;
    s2 += r2[j]! * value;
    s3 += r3[j]! * value;
  }
  products[i] = s0;
  products[i + 1] = s1;
  products[i + 2] = s2;
  products[i + 3] = s3;
}

/**
 * Makes a vector, from `start` on, the normal of the mirror that maps it to its first axis: z − factor · w (wᵀ z) with the
 * new w. `length` is the first coordinate of its image.
 */
function mirror(w: Float64Array, start: number): { readonly factor: number; readonly length: number } {
  const first = w[start];
  const scale = w.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  if (first === undefined || scale === 0) return { factor: 0, length: 0 };
  const norm = scale * Math.sqrt(w.reduce((sum, value) => sum + (value / scale) ** 2, 0));
  const length = first > 0 ? -norm : norm;
  w[start] = first - length;
  return { factor: 1 / (norm * (norm + Math.abs(first))), length };
}

/**
 * Eigenvalues of a symmetric tridiagonal matrix, by steps that chase a bulge along it (Golub & Van Loan, 8.3). Their errors
 * are a few roundings of its largest. Both arrays are overwritten.
 *
 * @param beside - what is beside the diagonal; its last entry is not read
 */
export function tridiagonalEigenvalues(diagonal: Float64Array, beside: Float64Array): Float64Array {
  const last = diagonal.length - 1;
  const norm = diagonal.reduce(
    (largest, value, i) => Math.max(largest, Math.abs(value), Math.abs(beside[i]!)),
    0,
  );
  for (let begin = 0; begin <= last; ) {
    let end = begin;
    while (end < last && Math.abs(beside[end]!) > Number.EPSILON * norm) end++;
    if (end === begin) begin++;
    else chaseBulge(diagonal, beside, begin, end);
  }
  return diagonal;
}

/** One step on rows `begin` … `end`, with the eigenvalue of their last two rows that is nearer to the last as shift. */
function chaseBulge(diagonal: Float64Array, beside: Float64Array, begin: number, end: number): void {
  const corner = beside[end - 1]!;
  const half = (diagonal[end - 1]! - diagonal[end]!) / 2;
  const root = Math.hypot(half, corner);
  const shift = diagonal[end]! - corner ** 2 / (half < 0 ? half - root : half + root);
  let [along, bulge] = [diagonal[begin]! - shift, beside[begin]!];
  for (let k = begin; k < end; k++) {
    const length = Math.hypot(along, bulge);
    const [cos, sin] = length === 0 ? [1, 0] : [along / length, bulge / length];
    if (k > begin) beside[k - 1] = length;
    const [a, b, c] = [diagonal[k]!, beside[k]!, diagonal[k + 1]!];
    const [cc, cs, ss] = [cos * cos, cos * sin, sin * sin];
    diagonal[k] = cc * a + 2 * cs * b + ss * c;
    diagonal[k + 1] = ss * a - 2 * cs * b + cc * c;
    beside[k] = cs * (c - a) + (cc - ss) * b;
    if (k + 1 === end) break;
    along = beside[k]!;
    bulge = sin * beside[k + 1]!;
    beside[k + 1]! *= cos;
  }
}
