/** @file `udit/node`: files, devices, pictures and data sets of a program in Node. */

export { version } from '../core/version-node.ts';
export { type EmojiOptions, openEmoji } from '../data/datasets/emoji-node.ts';
export { type ImageFolderOptions, openImageFolder } from '../data/datasets/image-folder-node.ts';
export type { Samples } from '../data/datasets/samples.ts';
export { decodeRgb } from '../data/images/image-decode-node.ts';
export { encodePng, writePng, writeSheet } from '../data/images/png-node.ts';
export { DiskCache, type DiskCacheOptions } from '../engine/compile/disk-cache-node.ts';
export { cpuBackend } from '../engine/runtime/cpu-node.ts';
export { DEVICES, type DeviceRequest, openDevice } from '../engine/runtime/devices-node.ts';
export { openTensorFile, openTorchFile, readSafetensors, writeSafetensors } from '../formats/file-node.ts';
export type { OpenTensorFile } from '../formats/tensor-file.ts';
export { cacheFolder } from '../host/files/cache-folder-node.ts';
export { BUNDLED_CHECKPOINT as bundledModel } from '../models/bundled-node.ts';
export { compileCache } from '../models/compile-cache-node.ts';
export { type PublishedFile, publishedFile } from '../models/hub/catalogue.ts';
export { type FetchedWeights, type FetchOptions, fetchWeights } from '../models/hub/fetch-weights-node.ts';
export { openModel } from '../models/open-node.ts';
export { writeModel } from '../models/write-model-node.ts';
export {
  type ExportFileOptions,
  writeOnnxExport,
  writeWeightsExport,
} from '../tasks/export/export-file-node.ts';
export { classSheets } from '../tasks/sampling/class-sheet-node.ts';
export { ArchiveFile } from '../tasks/sampling/sinks/archive-file-node.ts';
export type { ArchiveOptions } from '../tasks/sampling/sinks/archive-form-node.ts';
export { pngFiles } from '../tasks/sampling/sinks/png-files-node.ts';
export { type SheetOptions, sheetFile } from '../tasks/sampling/sinks/sheet-file-node.ts';
