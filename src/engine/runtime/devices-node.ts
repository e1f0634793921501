/**
 * @file Choosing what models run on. Whether a device is there is found out by running a model on it, in a process of its
 * own: a driver that prints, hangs or crashes does so there.
 */
import { dirname, join, relative } from 'node:path';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { physicalCores } from '../../host/machine/physical-cores-node.ts';
import { GPU } from '../onnx/lowering.ts';
import { ModelWriter } from '../onnx/model-writer.ts';
import { NATIVE_LIBRARY, runWithNativeLibrary } from './native-process-node.ts';
import { sessionOptions } from './ort.ts';
import type { Backend, BackendName } from './session.ts';

export const DEVICES = ['cpu', 'wasm', 'webgpu', 'cuda'] as const satisfies readonly BackendName[];
/** `auto` is CUDA where a session can be made, else WebGPU where that is faster than the CPU, else the CPU. */
export type DeviceRequest = BackendName | 'auto';
export const DEVICE_REQUESTS: readonly DeviceRequest[] = [...DEVICES, 'auto'];

/** How large the matrices of a probe are: enough to see that a device works, and to see how fast. */
const GLANCE = 256;
const LOOK = 1024;
/**
 * WebGPU also has drivers that compute on the CPU, many times slower than this library does there. Only time tells them
 * from a GPU: 34 MFLOP take them 80 ms, and a slow GPU one or two.
 */
const LONGEST_GLANCE_SECONDS = 0.02;
const WORTHWHILE_SPEEDUP = 2;

/** Each library is loaded when it is asked for only: the others may be large, or not be installed. */
const BACKENDS: Readonly<Record<BackendName, () => Promise<Backend>>> = {
  cpu: async () => (await import('./cpu-node.ts')).cpuBackend,
  wasm: async () => (await import('./wasm-node.ts')).wasmBackend,
  webgpu: async () => (await import('./gpu-node.ts')).webgpuBackend,
  cuda: async () => (await import('./gpu-node.ts')).cudaBackend,
};

/** @throws RuntimeUnavailableError where the device is not there */
export async function openDevice(request: DeviceRequest): Promise<Backend> {
  return backendFor(await findDevice(request));
}

/** @param name - of a device that is there */
export function backendFor(name: BackendName): Promise<Backend> {
  return BACKENDS[name]();
}

/** @throws RuntimeUnavailableError where the device is not there */
export async function findDevice(request: DeviceRequest): Promise<BackendName> {
  if (request === 'auto') return fastestDevice(probeDevice);
  if (request === 'webgpu' || request === 'cuda') {
    const outcome = await probeDevice(request, GLANCE);
    if ('problem' in outcome) throw unavailable(request, outcome, HOST);
  }
  return request;
}

export async function fastestDevice(probe: typeof probeDevice): Promise<BackendName> {
  if ('seconds' in (await probe('cuda', GLANCE))) return 'cuda';
  const glance = await probe('webgpu', GLANCE);
  if ('problem' in glance || glance.seconds > LONGEST_GLANCE_SECONDS) return 'cpu';
  const [gpu, cpu] = [await probe('webgpu', LOOK), await probe('cpu', LOOK)];
  const isWorthwhile = 'seconds' in gpu && 'seconds' in cpu && WORTHWHILE_SPEEDUP * gpu.seconds < cpu.seconds;
  return isWorthwhile ? 'webgpu' : 'cpu';
}

export type ProbeOutcome = { readonly seconds: number } | ProbeFailure;

export interface ProbeFailure {
  /** What ONNX Runtime throws. */
  readonly problem: string;
  /** What it and the driver print. */
  readonly printed: string;
}

/** The second run is timed: the first compiles. */
const SCRIPT = `
const [library, model, options, side] = process.argv.slice(1);
const { InferenceSession, Tensor } = require(library);
(async () => {
  const session = await InferenceSession.create(Buffer.from(model, 'base64'), JSON.parse(options));
  const feeds = { x: new Tensor('float32', new Float32Array(side * side).fill(1 / side), [+side, +side]) };
  await session.run(feeds);
  const began = performance.now();
  await session.run(feeds);
  return { seconds: (performance.now() - began) / 1000 };
})()
  .catch(({ message }) => ({ problem: message }))
  .then((outcome) => process.stdout.write(JSON.stringify(outcome), () => process.exit()));`;

const LONGEST_PROBE_MS = 60_000;

/** @param side - of the square matrix that is multiplied with itself, on the CPU with all its cores */
export async function probeDevice(name: BackendName, side: number): Promise<ProbeOutcome> {
  const model = Buffer.from(productModel(side)).toString('base64');
  const options = sessionOptions(
    { bytes: new Uint8Array() },
    { purpose: 'inference', threads: physicalCores() },
    name,
  );
  // What is missing is printed at this level only.
  const args = [model, JSON.stringify({ ...options, logSeverityLevel: 3 }), String(side)];
  try {
    const { stdout, stderr } = await runWithNativeLibrary(SCRIPT, args, { timeout: LONGEST_PROBE_MS });
    return { printed: stderr, ...(JSON.parse(stdout) as ProbeOutcome) };
  } catch (error) {
    const { signal, stderr = '' } = error as { readonly signal?: string; readonly stderr?: string };
    return {
      problem: `its driver ended the process that tested it (${signal ?? 'failure'})`,
      printed: stderr,
    };
  }
}

/** The mean of x², so that little is copied back. */
function productModel(side: number): Uint8Array {
  const writer = new ModelWriter(GPU);
  writer.addInput('x', 'f32', [side, side]);
  const product = writer.emit('MatMul', ['x', 'x']);
  writer.emit('ReduceMean', [product, writer.integers([0, 1])], { keepdims: 0 }, { output: 'y' });
  writer.addOutput('y', 'f32', []);
  return writer.toBytes();
}

export interface Host {
  readonly platform: string;
  readonly arch: string;
  /** The installer of onnxruntime-node, as a command line names it. */
  readonly installer: string;
}

const HOST: Host = {
  platform: process.platform,
  arch: process.arch,
  installer: relative(process.cwd(), join(dirname(NATIVE_LIBRARY), '..', 'script', 'install.js')),
};

/** What is missing, and the one step that adds it. */
export function unavailable(
  name: 'webgpu' | 'cuda',
  { problem, printed }: ProbeFailure,
  host: Host,
): RuntimeUnavailableError {
  const advice = name === 'cuda' ? cudaAdvice(problem, printed, host) : webgpuAdvice(problem, host);
  return new RuntimeUnavailableError({ where: `device ${name}`, cause: new Error(problem), ...advice });
}

interface Advice {
  readonly problem: string;
  readonly fix: string;
}

const isNotBuiltIn = (problem: string): boolean => problem.includes('backend not found');

function cudaAdvice(problem: string, printed: string, { platform, arch, installer }: Host): Advice {
  if (isNotBuiltIn(problem)) {
    return {
      problem: `ONNX Runtime has CUDA on linux x64 only, this is ${platform} ${arch}`,
      fix: 'use --device webgpu or cpu',
    };
  }
  const missing = /(lib[\w.-]+): cannot open shared object file/.exec(printed)?.[1];
  if (missing?.startsWith('libonnxruntime_')) {
    return {
      problem: `ONNX Runtime's CUDA library is not installed: ${missing} is missing`,
      fix: `run node ${installer} --onnxruntime-node-install=cuda12`,
    };
  }
  if (missing !== undefined) {
    return {
      problem: `${missing} is not found, a library of CUDA 12 or cuDNN 9`,
      fix: 'install both, or add the folder that has it to LD_LIBRARY_PATH',
    };
  }
  return {
    problem: `no session can be made: ${firstLine(problem)}`,
    fix: 'check that nvidia-smi lists a GPU and a driver for CUDA 12',
  };
}

function webgpuAdvice(problem: string, { platform, arch }: Host): Advice {
  if (isNotBuiltIn(problem)) {
    return {
      problem: `ONNX Runtime has no WebGPU on ${platform} ${arch}`,
      fix: 'use --device cpu',
    };
  }
  if (problem.includes('Failed to get a WebGPU adapter')) {
    return {
      problem: 'no driver offers a GPU',
      fix:
        platform === 'linux'
          ? "install a Vulkan driver: NVIDIA's has one, for others it is mesa-vulkan-drivers on Debian"
          : "install the GPU's driver",
    };
  }
  return { problem: `no session can be made: ${firstLine(problem)}`, fix: 'use --device cpu' };
}

const firstLine = (text: string): string => text.trim().split('\n')[0]!;
