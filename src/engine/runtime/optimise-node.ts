/**
 * @file Optimising a model for this machine, in a process of its own: it takes more memory than the model, and a process
 * that goes on seldom gets back what native code has freed.
 */
import { readFile, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from '../onnx/schema/onnx_pb.ts';
import { runWithNativeLibrary } from './native-process-node.ts';
import { loadError, sessionOptions } from './ort.ts';

const SCRIPT = `
const [library, path, options] = process.argv.slice(1);
require(library).InferenceSession.create(path, JSON.parse(options)).then(
  () => process.exit(0),
  (error) => { console.error(error.message); process.exit(1); },
);`;

/** See {@link Backend.optimise}. */
export async function optimiseModel(path: string, optimisedPath: string): Promise<void> {
  // Weights are saved in the form, too, that kernels pack them into: else each session packs its own copy.
  await saveOptimised(path, optimisedPath, { packed: true });
  if (await isPackedAligned(optimisedPath)) return;
  for (const file of [optimisedPath, dataPath(optimisedPath)]) await rm(file, { force: true });
  await saveOptimised(path, optimisedPath, { packed: false });
}

const dataPath = (modelPath: string): string => `${modelPath}.data`;

async function saveOptimised(
  path: string,
  optimisedPath: string,
  { packed }: { readonly packed: boolean },
): Promise<void> {
  const { extra, ...options } = sessionOptions({ path, isOptimised: false }, { purpose: 'inference' }, 'cpu');
  const saved = {
    optimized_model_external_initializers_file_name: basename(dataPath(optimisedPath)),
    optimized_model_external_initializers_min_size_in_bytes: '1024',
    save_external_prepacked_constant_initializers: packed ? '1' : '0',
  };
  const session = { ...(extra!.session as object), ...saved };
  const saving = { ...options, optimizedModelFilePath: optimisedPath, extra: { session } };
  try {
    await runWithNativeLibrary(SCRIPT, [path, JSON.stringify(saving)]);
  } catch (cause) {
    const { stderr } = cause as { readonly stderr?: string };
    throw loadError('cpu', stderr ? new Error(stderr.trim(), { cause }) : cause);
  }
}

/** The widest load that a kernel does. */
const ALIGNMENT = 64;

/**
 * Kernels load packed weights from aligned addresses, but ONNX Runtime writes them right behind the tensor before them.
 * Where one of them lies elsewhere, running the model would end the process.
 */
async function isPackedAligned(optimisedPath: string): Promise<boolean> {
  const { graph } = fromBinary(ModelProtoSchema, await readFile(optimisedPath));
  // Such as `prepacked_0`: `Gemm+7622574725138346832|1216512;1221696;0`, with the offset first.
  const places = graph!.initializer
    .flatMap(({ externalData }) => externalData)
    .filter(({ key }) => key.startsWith('prepacked_'))
    .flatMap(({ value }) => value.split('|').slice(1));
  return places.every((place) => Number(place.split(';')[0]) % ALIGNMENT === 0);
}
