/**
 * @file Loss and gradients of a batch. The batch is cut into equal shards whose gradients are computed side by side and
 * added in a fixed order: on as many cores as there are, with the same result on any number of them.
 */

import type { HostTensor, TensorMap } from '../../../core/host-tensor.ts';
import { type CompileOptions, lowerFed } from '../../../engine/compile/training.ts';
import { type Graph, graphOf } from '../../../engine/graph/graph.ts';
import { mean } from '../../../engine/graph/operators.ts';
import { gradients } from '../../../engine/graph/vjp.ts';
import type { Backend, Session } from '../../../engine/runtime/session.ts';
import { releasing } from '../../../engine/runtime/session-scope.ts';
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
  /** How many parts of the batch are worked on at once; divides the batch size. */
  readonly shards: number;
  readonly backend: Backend;
  readonly session: CompileOptions;
}

export class LossGradients {
  private readonly shards: readonly Shard[];

  private constructor(shards: readonly Shard[]) {
    this.shards = shards;
  }

  /**
   * @param layout - of the trained parameters
   * @param target - flat buffer that {@link run} leaves the gradients in
   */
  static async compile(
    learning: Learning,
    layout: ParameterLayout,
    target: Float32Array,
    { batchSize, shards: count, backend, session }: LossGradientsOptions,
  ): Promise<LossGradients> {
    const graph = gradientGraph(learning, batchSize / count);
    const program = await lowerFed(graph, backend, { ...session, purpose: 'training' });
    return releasing(async ({ open }) => {
      const shards = Array.from({ length: count }, async (_, i): Promise<Shard> => {
        const buffer = i === 0 ? target : new Float32Array(layout.size);
        return {
          session: await open(program.load()),
          gradients: buffer,
          fetches: layout.views(buffer, (name) => GRADIENT_PREFIX + name),
        };
      });
      return new LossGradients(await Promise.all(shards));
    });
  }

  async run(parameters: TensorMap, feeds: LossFeeds): Promise<BatchLoss> {
    const count = this.shards.length;
    const results = await Promise.all(
      this.shards.map(({ session, fetches }, i) =>
        session.run(new Map([...parameters, ...tensorsOf(shardOf(feeds, i, count))]), fetches),
      ),
    );
    averageInto(this.shards.map((shard) => shard.gradients));
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
export function gradientGraph({ network, buildLoss }: Learning, batchSize: number): Graph {
  const { perSample, terms } = buildLoss(batchSize, { training: true });
  const loss = mean(perSample);
  const trained = [...network.parameters()].filter(({ frozen }) => !frozen);
  const parameterGradients = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  return graphOf({
    loss,
    ...Object.fromEntries(Object.entries(terms).map(([name, term]) => [TERM_PREFIX + name, mean(term)])),
    ...Object.fromEntries(trained.map(({ name }, i) => [GRADIENT_PREFIX + name, parameterGradients[i]!])),
  });
}

/** Leaves the mean of all buffers in the first. */
function averageInto(buffers: readonly Float32Array[]): void {
  const [target, ...others] = buffers as [Float32Array, ...Float32Array[]];
  if (others.length === 0) return;
  for (const other of others) for (let i = 0; i < target.length; i++) target[i]! += other[i]!;
  for (let i = 0; i < target.length; i++) target[i]! /= buffers.length;
}

function scalarOf(tensor: HostTensor): number {
  return Number(tensor.data[0]);
}
