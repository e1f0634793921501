/**
 * @file Loss and gradients of a batch. The batch is cut into equal shards whose gradients are computed side by side and
 * added in a fixed order: on as many cores as there are, with the same result on any number of them.
 */

import type { HostTensor, TensorMap } from '../../../core/host-tensor.ts';
import { type CompileOptions, lowerFed } from '../../../engine/compile/training.ts';
import { type Graph, graphOf } from '../../../engine/graph/graph.ts';
import { mean } from '../../../engine/graph/operators.ts';
import type { Tensor } from '../../../engine/graph/tensor.ts';
import { gradients } from '../../../engine/graph/vjp.ts';
import type { Backend, Session } from '../../../engine/runtime/session.ts';
import { releasing } from '../../../engine/runtime/session-scope.ts';
import type { Network } from '../../../networks/nn/network.ts';
import type { ParameterLayout } from '../optim/parameter-buffers.ts';
import { type Learning, type LossFeeds, shardOf, tensorsOf } from './learning.ts';

const GRADIENT_PREFIX = 'gradient.';
const TERM_PREFIX = 'term.';

export interface BatchLoss {
  /** Mean over the batch. */
  readonly loss: number;
  /** Means of the loss's parts. */
  readonly terms: Readonly<Record<string, number>>;
}

interface Shard {
  readonly session: Session;
  /** Flat buffer that receives the shard's gradients; the first shard writes into the caller's. */
  readonly gradients: Float32Array;
  readonly fetches: TensorMap;
}

export interface LossGradientsOptions {
  readonly batchSize: number;
  /** Images in memory at once; divides the batch size. */
  readonly microBatch: number;
  /** How many parts of them are worked on side by side; divides the micro-batch. */
  readonly shards: number;
  /** Whether values inside of blocks are computed again for their gradients. */
  readonly recompute: boolean;
  readonly backend: Backend;
  readonly session: CompileOptions;
}

export class LossGradients {
  private readonly shards: readonly Shard[];
  private readonly target: Float32Array;
  /** Micro-batches of a batch. */
  private readonly parts: number;

  private constructor(shards: readonly Shard[], target: Float32Array, parts: number) {
    this.shards = shards;
    this.target = target;
    this.parts = parts;
  }

  /**
   * @param layout - of the trained parameters
   * @param target - flat buffer that {@link run} leaves the gradients in
   */
  static async compile(
    learning: Learning,
    layout: ParameterLayout,
    target: Float32Array,
    { batchSize, microBatch, shards: count, recompute, backend, session }: LossGradientsOptions,
  ): Promise<LossGradients> {
    const parts = batchSize / microBatch;
    const graph = gradientGraph(learning, microBatch / count, recompute);
    const program = await lowerFed(graph, backend, { ...session, purpose: 'training' });
    return releasing(async ({ open }) => {
      const shards = Array.from({ length: count }, async (_, i): Promise<Shard> => {
        // Sums of several micro-batches are not written over.
        const buffer = i === 0 && parts === 1 ? target : new Float32Array(layout.size);
        return {
          session: await open(program.load()),
          gradients: buffer,
          fetches: layout.views(buffer, (name) => GRADIENT_PREFIX + name),
        };
      });
      return new LossGradients(await Promise.all(shards), target, parts);
    });
  }

  async run(parameters: TensorMap, feeds: LossFeeds): Promise<BatchLoss> {
    const { shards, target, parts } = this;
    const count = parts * shards.length;
    const results: TensorMap[] = [];
    for (let part = 0; part < parts; part++) {
      const runs = shards.map(({ session, fetches }, i) => {
        const own = shardOf(feeds, part * shards.length + i, count);
        return session.run(new Map([...parameters, ...tensorsOf(own)]), fetches);
      });
      results.push(...(await Promise.all(runs)));
      const [first, ...others] = shards.map(({ gradients }) => gradients);
      if (part === 0 && first !== target) target.set(first!);
      else if (part > 0) addTo(target, first!);
      for (const other of others) addTo(target, other);
    }
    if (count > 1) for (let i = 0; i < target.length; i++) target[i]! /= count;
    const meanOf = (name: string) =>
      results.reduce((sum, result) => sum + scalarOf(result.get(name)!), 0) / count;
    const termNames = [...results[0]!.keys()].filter((name) => name.startsWith(TERM_PREFIX));
    return {
      loss: meanOf('loss'),
      terms: Object.fromEntries(termNames.map((name) => [name.slice(TERM_PREFIX.length), meanOf(name)])),
    };
  }

  async release(): Promise<void> {
    await Promise.all(this.shards.map(({ session }) => session.release()));
  }
}

/** Loss, its terms and the gradients of all trained parameters. */
export function gradientGraph({ network, buildLoss }: Learning, batchSize: number, recompute = false): Graph {
  const { perSample, terms } = buildLoss(batchSize, { training: true });
  const loss = mean(perSample);
  const trained = [...network.parameters()].filter(({ frozen }) => !frozen);
  const parameterGradients = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
    recompute ? { segmentOf: blockOf(network) } : {},
  );
  return graphOf({
    loss,
    ...Object.fromEntries(Object.entries(terms).map(([name, term]) => [TERM_PREFIX + name, mean(term)])),
    ...Object.fromEntries(trained.map(({ name }, i) => [GRADIENT_PREFIX + name, parameterGradients[i]!])),
  });
}

/** The block of the network that a value is computed in. */
function blockOf(network: Network): (tensor: Tensor) => string | undefined {
  const paths = network.stages().flatMap(({ paths, blocks }) => (blocks === undefined ? [] : paths));
  return ({ scope }) => {
    const path = paths.find((start) => scope.startsWith(`${start}.`));
    const index = path === undefined ? undefined : /^\d+/.exec(scope.slice(path.length + 1))?.[0];
    return index === undefined ? undefined : `${path}.${index}`;
  };
}

function addTo(target: Float32Array, summand: Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += summand[i]!;
}

function scalarOf(tensor: HostTensor): number {
  return Number(tensor.data[0]);
}
