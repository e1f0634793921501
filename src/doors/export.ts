/** @file `udit/export`: models as ONNX files and as weights, without Node; `udit/node` writes them to disk. */

export { serialiseSafetensors } from '../formats/safetensors.ts';
export { type Agreement, type CheckOptions, checkExport } from '../tasks/export/export-check.ts';
export {
  type Drawing,
  type ExportedModel,
  type ExportedNetwork,
  type ExportedPart,
  exportOnnx,
  exportWeights,
  type OnnxExport,
  type OnnxExportOptions,
  serialiseExport,
} from '../tasks/export/onnx-export.ts';
