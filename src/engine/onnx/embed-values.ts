/** @file Weights put into a model whose initialisers had been left to a file beside it. */
import {
  TensorProto_DataLocation as DataLocation,
  type GraphProto,
  type ModelProto,
} from './schema/onnx_pb.ts';

/**
 * The same model without a file beside it.
 *
 * @param values - bytes by name of the initialiser
 */
export function embedValues(model: ModelProto, values: ReadonlyMap<string, Uint8Array>): ModelProto {
  return { ...model, graph: embedInGraph(model.graph!, values) };
}

function embedInGraph(graph: GraphProto, values: ReadonlyMap<string, Uint8Array>): GraphProto {
  return {
    ...graph,
    initializer: graph.initializer.map((tensor) =>
      tensor.dataLocation === DataLocation.EXTERNAL
        ? {
            ...tensor,
            dataLocation: DataLocation.DEFAULT,
            externalData: [],
            rawData: values.get(tensor.name)!,
          }
        : tensor,
    ),
    node: graph.node.map((node) => ({
      ...node,
      attribute: node.attribute.map((attribute) =>
        attribute.g === undefined ? attribute : { ...attribute, g: embedInGraph(attribute.g, values) },
      ),
    })),
  };
}
