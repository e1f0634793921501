/** @file `udit/node`: files, devices, pictures and data sets of a program in Node. */

export {
  type OpenTensorFile,
  openTensorFile,
  openTorchFile,
  readSafetensors,
  writeSafetensors,
} from '../checkpoint/file-node.ts';
export { BUNDLED_CHECKPOINT as bundledModel } from '../cli/checkpoint-argument.ts';
export { compileCache } from '../cli/compile-cache.ts';
export { openModel } from '../cli/open-model-node.ts';
export { version } from '../cli/version.ts';
export { DiskCache, type DiskCacheOptions } from '../compile/disk-cache-node.ts';
export { cacheFolder } from '../data/cache-folder-node.ts';
export type { Dataset } from '../data/dataset.ts';
export { type EmojiOptions, openEmoji } from '../data/emoji-node.ts';
export { decodeRgb } from '../data/image-decode-node.ts';
export { type ImageFolderOptions, openImageFolder } from '../data/image-folder-node.ts';
export { encodePng, writeGrid, writePng } from '../data/png-node.ts';
export { type ExportFileOptions, writeOnnxExport, writeWeightsExport } from '../export/export-file-node.ts';
export { type FetchedWeights, type FetchOptions, fetchWeights } from '../hub/fetch-weights-node.ts';
export { DEVICES, type DeviceRequest, openDevice } from '../runtime/devices-node.ts';
export { cpuBackend } from '../runtime/ort-node.ts';
export { classSheets } from '../sampling/class-sheet-node.ts';
export { writeModel } from '../saved-model/write-model-node.ts';
