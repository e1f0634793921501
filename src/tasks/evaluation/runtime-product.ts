/** @file Products of features by a runtime, for the metrics of pairs. */
import { hostTensor } from '../../core/host-tensor.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, matmul } from '../../engine/graph/operators.ts';
import type { Backend, Session } from '../../engine/runtime/session.ts';
import { countOf, type MatrixProduct } from '../../metrics/matrix-product.ts';

export interface RuntimeProduct {
  readonly product: MatrixProduct;
  release(): Promise<void>;
}

/** Sessions are kept by the shapes of their operands, of which a metric has few. */
export function runtimeProduct(backend: Backend, threads = 1): RuntimeProduct {
  const sessions = new Map<string, Promise<Session>>();
  return {
    async product(a, b) {
      const [rows, columns] = [countOf(a), countOf(b)];
      const shapes = { a: [rows, a.width], b: [columns, b.width] } as const;
      const key = JSON.stringify(shapes);
      const compiled = sessions.get(key) ?? compileProduct(shapes, backend, threads);
      sessions.set(key, compiled);
      const feeds = new Map([
        ['a', hostTensor('f32', shapes.a, a.values)],
        ['b', hostTensor('f32', shapes.b, b.values)],
      ]);
      return (await (await compiled).run(feeds)).get('product')!.data as Float32Array;
    },
    async release() {
      for (const session of sessions.values()) await (await session).release();
    },
  };
}

function compileProduct(
  shapes: Readonly<Record<'a' | 'b', readonly number[]>>,
  backend: Backend,
  threads: number,
): Promise<Session> {
  const product = matmul(input('a', shapes.a), input('b', shapes.b), { transposeB: true });
  return compileInference(graphOf({ product }), new Map(), backend, { threads });
}
