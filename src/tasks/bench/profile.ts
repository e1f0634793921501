/** @file Where the time of a workload goes, by operation: read from the profiles that ONNX Runtime writes. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readJson } from '../../host/files/read-json-node.ts';

/** Share of the time in each kind of operation, largest first. */
export type OperationShares = ReadonlyMap<string, number>;

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args: { readonly op_name?: string };
}

/** Of all sessions whose profiles were written under a prefix. */
export async function readOperationShares(prefix: string): Promise<OperationShares> {
  const names = (await readdir(dirname(prefix))).filter((name) => name.startsWith(`${basename(prefix)}_`));
  const profiles = await Promise.all(names.map((name) => readJson(join(dirname(prefix), name))));
  return operationShares((profiles as ProfileEvent[][]).flat());
}

export function operationShares(events: readonly ProfileEvent[]): OperationShares {
  const kernels = events.filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'));
  const total = kernels.reduce((sum, { dur }) => sum + dur, 0);
  const shares = new Map<string, number>();
  for (const { dur, args } of kernels) {
    const operation = args.op_name ?? 'unknown';
    shares.set(operation, (shares.get(operation) ?? 0) + dur / total);
  }
  return new Map([...shares].sort(([, a], [, b]) => b - a));
}

/** What a processor does best: the rest is moving numbers about. */
const PRODUCTS = /Gemm|MatMul|Conv|Attention/;
const SMALLEST_SHOWN = 0.01;

/** `products 81 %: Gemm 50 %, Conv 31 %; beside them Transpose 9 %, …` without those below 1 %. */
export function formatShares(shares: OperationShares): string {
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const list = (isProduct: boolean) =>
    [...shares]
      .filter(([operation, share]) => PRODUCTS.test(operation) === isProduct && share >= SMALLEST_SHOWN)
      .map(([operation, share]) => `${operation} ${percent(share)}`)
      .join(', ');
  const inProducts = [...shares].reduce((sum, [name, share]) => sum + (PRODUCTS.test(name) ? share : 0), 0);
  return `products ${percent(inProducts)}: ${list(true)}; beside them ${list(false)}`;
}
