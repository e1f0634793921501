/** @file A graph that is run again and again inside one ONNX model: its body is the graph, values are carried on. */
import { scalar } from '../../core/host-tensor.ts';
import { type Graph, leavesOf } from '../graph/graph.ts';
import type { Tensor } from '../graph/tensor.ts';
import { writeGraph } from './lower.ts';
import type { LowerOptions } from './lowering.ts';
import { type ModelInParts, ModelWriter } from './model-writer.ts';

export interface LoopOptions extends LowerOptions {
  /** How often the graph is run. */
  readonly count: number;
  /** The input of the graph, an int64 scalar, that is told which run it is: 0 … count − 1. */
  readonly index: string;
  readonly carried: readonly CarriedValue[];
}

export interface CarriedValue {
  /** Name of the graph's input. */
  readonly input: string;
  /** Name of the graph's output that it is at the next run. */
  readonly output: string;
  /** Input of the model that it is at the first run. Default: zeros. */
  readonly first?: string;
  /** Output of the model that is the last run's output. Default: none. */
  readonly last?: string;
}

/** Other inputs of the graph become inputs of the model, the same for all runs; its other outputs are left out. */
export function lowerLoop(graph: Graph, options: LoopOptions): ModelInParts {
  const { count, index, carried, metadata } = options;
  const around = new ModelWriter(options.features);
  const body = new ModelWriter({ prefix: 'step/' });
  const bound = new Map<string, string>();
  const inputOf = new Map(carried.map((value) => [value.input, value]));

  body.addInput('step/index', 'i64', []);
  body.addInput('step/condition', 'bool', []);
  bound.set(index, 'step/index');
  body.emit('Identity', ['step/condition'], {}, { output: 'step/continue' });
  body.addOutput('step/continue', 'bool', []);
  for (const { params, shape, dtype } of leavesOf(graph, 'input')) {
    const { name } = params;
    if (name === index) continue;
    const value = inputOf.get(name);
    bound.set(name, value === undefined ? name : `step/${name}`);
    if (value === undefined) around.addInput(name, dtype, shape);
    else if (value.first !== undefined) around.addInput(value.first, dtype, shape);
  }
  for (const { input, output, last } of carried) {
    const { dtype, shape } = graph.get(output)!;
    body.addInput(`step/${input}`, dtype, shape);
    body.addOutput(`step/${output}`, dtype, shape);
    if (last !== undefined) around.addOutput(last, dtype, shape);
  }
  const outputs: Graph = new Map(carried.map(({ output }) => [`step/${output}`, graph.get(output)!]));
  writeGraph(outputs, options, { writer: body, bound });

  const trips = around.constant(scalar('i64', count));
  const starts = carried.map(({ first, output }) => first ?? zerosLike(around, graph.get(output)!));
  const results = around.emitMany('Loop', [trips, '', ...starts], carried.length, { body: { graph: body } });
  carried.forEach(({ last }, i) => {
    if (last !== undefined) around.emit('Identity', [results[i]!], {}, { output: last });
  });
  return around.toParts(metadata, body);
}

function zerosLike(writer: ModelWriter, { dtype, shape }: Tensor): string {
  return writer.emit('Expand', [writer.constant(scalar(dtype, 0)), writer.integers(shape)]);
}
