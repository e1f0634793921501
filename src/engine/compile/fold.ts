/**
 * @file Computes what depends on weights alone. Such values depend on few parameters each, so they are computed group by
 * group, and a network's weights are never in memory all at once. Most groups do the same with other parameters (each
 * feed-forward network merges its own kernels), so few programs do all the work.
 */
import { CheckpointError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { formatShape, type Shape, sameShape } from '../../core/shape.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import { type Graph, type Leaf, leavesOf } from '../graph/graph.ts';
import { parameter } from '../graph/operators.ts';
import { describeOp, keep, mapGraph } from '../graph/rewrite.ts';
import { isOp, type Tensor } from '../graph/tensor.ts';
import type { Backend, Session } from '../runtime/session.ts';
import { compileFed } from './training.ts';

/** Takes a value as soon as it is known. */
export type TakeValue = (name: string, value: HostTensor) => void | Promise<void>;

/**
 * Evaluates a graph that reads parameters only.
 *
 * @throws CheckpointError if a parameter is missing or misshapen
 */
export async function foldWeights(
  folded: Graph,
  weights: TensorSource,
  backend: Backend,
  take: TakeValue,
): Promise<void> {
  const programs = new Map<string, Session>();
  try {
    for (const group of independentGroups(folded)) {
      const { key, graph, parameters, outputs } = anonymous(group);
      const program = programs.get(key) ?? (await compileFed(graph, backend, { purpose: 'folding' }));
      programs.set(key, program);
      const feeds = new Map<string, HostTensor>();
      for (const [name, leaf] of parameters) feeds.set(name, await readWeight(weights, leaf));
      const values = await program.run(feeds);
      for (const { name, original } of outputs) await take(original, values.get(name)!);
    }
  } finally {
    for (const program of programs.values()) await program.release();
  }
}

/** A parameter of a graph. */
export interface NamedShape {
  readonly name: string;
  readonly shape: Shape;
}

/** The value of one parameter. @throws CheckpointError if it is missing or misshapen */
export async function readWeight(weights: TensorSource, { name, shape }: NamedShape): Promise<HostTensor> {
  const where = 'compile';
  const info = weights.infos.get(name);
  if (info === undefined) {
    throw new CheckpointError({ where, problem: `the weights have no value for ${name}` });
  }
  if (!sameShape(info.shape, shape)) {
    const problem = `the weights have ${name} with shape ${formatShape(info.shape)}, the graph reads ${formatShape(shape)}`;
    throw new CheckpointError({ where, problem, fix: 'use the weights of this model' });
  }
  return weights.read(name);
}

interface Group {
  readonly leaves: readonly (Leaf | null)[];
  readonly outputs: readonly (readonly [string, Tensor])[];
}

/** The outputs in groups that share no parameters. */
function independentGroups(graph: Graph): Graph[] {
  const groupOf = new Map<Leaf | null, Group>();
  for (const output of graph) {
    const read = leavesOf(new Map([output]), 'parameter');
    const leaves = read.length > 0 ? read : [null]; // what depends on nothing is a group as well
    const joined = [...new Set(leaves.flatMap((leaf) => groupOf.get(leaf) ?? []))];
    const group: Group = {
      leaves: [...joined.flatMap((other) => other.leaves), ...leaves],
      outputs: [...joined.flatMap(({ outputs }) => outputs), output],
    };
    for (const leaf of group.leaves) groupOf.set(leaf, group);
  }
  return [...new Set(groupOf.values())].map(({ outputs }) => new Map(outputs));
}

/** A group without the names of its parameters and outputs, and what it computes as text: the same for equal groups. */
function anonymous(group: Graph) {
  const parameters = new Map<string, NamedShape>();
  const positions = new Map<Tensor, number>();
  const lines: string[] = [];
  const nodes = mapGraph(group, (tensor, inputs) => {
    const made = isOp(tensor, 'parameter') ? rename(tensor) : keep(tensor, inputs);
    const read = inputs.map((input) => positions.get(input)).join(' ');
    positions.set(made, lines.length);
    lines.push(`${describeOp(made)} [${made.shape}] ${read}`);
    return made;
  });
  const outputs = [...nodes].map(([name, tensor], i) => ({ name: `o${i}`, original: name, tensor }));
  return {
    key: [...lines, ...outputs.map(({ tensor }) => positions.get(tensor))].join('\n'),
    graph: new Map(outputs.map(({ name, tensor }) => [name, tensor])),
    parameters,
    outputs,
  };

  function rename(leaf: Leaf): Tensor {
    const name = `p${parameters.size}`;
    parameters.set(name, { name: leaf.params.name, shape: leaf.shape });
    return parameter(name, leaf.shape);
  }
}
