/** @file Values inside a traced model by module path: which nodes belong to a module shows in their scope. */
import type { TensorMap } from '../../src/core/host-tensor.ts';
import { transpose } from '../../src/engine/graph/operators.ts';
import { isOp, type OpName, type Tensor } from '../../src/engine/graph/tensor.ts';
import { topologicalOrder } from '../../src/engine/graph/traverse.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { UDiT } from '../../src/networks/denoisers/udit.ts';

export class TracedModules {
  private readonly nodes: readonly Tensor[];

  /** @param output - of one forward pass; nodes are in the order in which it made them */
  constructor(output: Tensor) {
    this.nodes = topologicalOrder([output]);
  }

  /** What the module returned: the last node made in it. For a list of modules, what its last one returned. */
  outputOf(path: string): Tensor | undefined {
    return this.nodesIn(path).at(-1);
  }

  /** The first value that the module was given: the earliest made outside of it that it reads. */
  inputOf(path: string): Tensor | undefined {
    const inside = new Set(this.nodesIn(path));
    const given = [...inside].flatMap(({ inputs }) => inputs).filter((tensor) => !inside.has(tensor));
    return given
      .filter((tensor) => !isOp(tensor, 'parameter') && !isOp(tensor, 'constant'))
      .sort((a, b) => a.id - b.id)[0];
  }

  /** Nodes of one operation in a module and below, in the order of the forward pass. */
  operationsIn(path: string, op: OpName): Tensor[] {
    return this.nodesIn(path).filter((tensor) => tensor.op === op);
  }

  private nodesIn(path: string): Tensor[] {
    return this.nodes.filter(({ scope }) => scope === path || scope.startsWith(`${path}.`));
  }
}

/**
 * `out.<module>` and `in.<module>` of a fixture as tensors of our trace. Inside U-DiT images are [N, H, W, C]; the
 * reference records [N, C, H, W].
 */
export function recordedModuleValues(
  tensors: TensorMap,
  output: Tensor,
  model: Denoiser,
): (readonly [string, Tensor])[] {
  const modules = new TracedModules(output);
  return [...tensors.keys()].flatMap((name) => {
    const [, side, path] = /^(in|out)\.(.+)$/.exec(name) ?? [];
    if (path === undefined) return [];
    const value = side === 'in' ? modules.inputOf(path) : moduleOutput(modules, path);
    if (value === undefined) return [];
    const isImage = model instanceof UDiT && value.shape.length === 4;
    return [[name, isImage ? transpose(value, [0, 3, 1, 2]) : value] as const];
  });
}

/** Two of the reference's modules are no modules here: parameterless norms, and the cut into sub-grids. */
function moduleOutput(modules: TracedModules, path: string): Tensor | undefined {
  const [, block, pair, position] = /^(.+)\.norm([12])([12])$/.exec(path) ?? [];
  if (block !== undefined) {
    return modules.operationsIn(block, 'layerNorm')[2 * (Number(pair) - 1) + Number(position) - 1];
  }
  const attention = /^(.+)\.downsampler$/.exec(path)?.[1];
  if (attention !== undefined) return modules.inputOf(`${attention}.to_qkv`);
  return modules.outputOf(path);
}
