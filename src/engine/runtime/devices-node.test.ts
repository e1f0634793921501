import { describe, expect, test } from 'vitest';
import {
  fastestDevice,
  findDevice,
  type Host,
  openDevice,
  type ProbeOutcome,
  probeDevice,
  unavailable,
} from './devices-node.ts';
import type { BackendName } from './session.ts';

const ABSENT = { problem: 'absent', printed: '' };

/** A machine on which products of a small and of a large matrix take so long. */
const machine =
  (devices: Partial<Record<BackendName, readonly [small: number, large: number]>>) =>
  async (name: BackendName, side: number): Promise<ProbeOutcome> => {
    const seconds = devices[name];
    return seconds === undefined ? ABSENT : { seconds: seconds[side > 500 ? 1 : 0] };
  };

describe('auto is', () => {
  const cpu = [0.0005, 0.03] as const;
  test.each([
    ['CUDA where it is there', { cpu, webgpu: [0.001, 0.002], cuda: [0.5, 0.9] }, 'cuda'],
    ['WebGPU where it is faster', { cpu, webgpu: [0.002, 0.006] }, 'webgpu'],
    ['the CPU where WebGPU is hardly faster', { cpu, webgpu: [0.002, 0.02] }, 'cpu'],
    ['the CPU where WebGPU is a program on the CPU', { cpu, webgpu: [0.08, 0.001] }, 'cpu'],
    ['the CPU where there is nothing else', { cpu }, 'cpu'],
  ] as const)('%s', async (_, devices, expected) => {
    expect(await fastestDevice(machine(devices))).toBe(expected);
  });

  test('not asked for more than a glance at a program on the CPU', async () => {
    const asked: string[] = [];
    await fastestDevice(async (name, side) => {
      asked.push(`${name} ${side}`);
      return machine({ cpu, webgpu: [0.08, 5] })(name, side);
    });
    expect(asked).toEqual(['cuda 256', 'webgpu 256']);
  });
});

test('a probe runs a model, and says why it could not', async () => {
  const outcome = await probeDevice('cpu', 64);
  expect(outcome).toMatchObject({ seconds: expect.any(Number) });
  const none = await probeDevice('nothing' as BackendName, 64);
  expect(none).toMatchObject({ problem: expect.stringContaining('backend not found') });
});

test('the CPU and WebAssembly are there without a probe', async () => {
  expect([await findDevice('cpu'), await findDevice('wasm')]).toEqual(['cpu', 'wasm']);
  expect([(await openDevice('cpu')).name, (await openDevice('wasm')).name]).toEqual(['cpu', 'wasm']);
});

describe('what is missing is named, with the step that adds it', () => {
  const host: Host = {
    platform: 'linux',
    arch: 'x64',
    installer: 'node_modules/onnxruntime-node/script/install.js',
  };
  // What ONNX Runtime 1.30 throws and prints, with shorter paths. cuDNN and GPU missing are in the form of its sources.
  const noSharedLibrary = 'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library';
  const notLoaded = (library: string, reason: string) =>
    `[E:onnxruntime:onnxruntime-node, provider_bridge_ort.cc:2146 Create] Failed to load library /bin/${library} with error: ${reason}: cannot open shared object file: No such file or directory\n`;
  const noBackend = (name: string) => `no available backend found. ERR: [${name}] backend not found.`;

  test("CUDA, without ONNX Runtime's part for it", () => {
    const library = 'libonnxruntime_providers_shared.so';
    const printed = notLoaded(library, `/bin/${library}`);
    expect(unavailable('cuda', { problem: noSharedLibrary, printed }, host)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device cuda: ONNX Runtime's CUDA library is not installed: libonnxruntime_providers_shared.so is missing
        fix: run node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12]
    `);
  });

  test("CUDA, without one of NVIDIA's libraries", () => {
    const printed = notLoaded('libonnxruntime_providers_cuda.so', 'libcudnn.so.9');
    expect(unavailable('cuda', { problem: noSharedLibrary, printed }, host)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device cuda: libcudnn.so.9 is not found, a library of CUDA 12 or cuDNN 9
        fix: install both, or add the folder that has it to LD_LIBRARY_PATH]
    `);
  });

  test('CUDA, without a GPU', () => {
    const problem = 'CUDA failure 100: no CUDA-capable device is detected ; GPU=-1\nmore';
    expect(unavailable('cuda', { problem, printed: '' }, host)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device cuda: no session can be made: CUDA failure 100: no CUDA-capable device is detected ; GPU=-1
        fix: check that nvidia-smi lists a GPU and a driver for CUDA 12]
    `);
  });

  test('CUDA, on a system that it is not made for', () => {
    const mac = { ...host, platform: 'darwin', arch: 'arm64' };
    expect(unavailable('cuda', { problem: noBackend('cuda'), printed: '' }, mac)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device cuda: ONNX Runtime has CUDA on linux x64 only, this is darwin arm64
        fix: use --device webgpu or cpu]
    `);
  });

  const noAdapter =
    'webgpu_context.cc:136 adapter_result.status == wgpu::RequestAdapterStatus::Success was false. Failed to get a WebGPU adapter: No supported adapters\n';

  test('WebGPU, without a driver on Linux', () => {
    expect(unavailable('webgpu', { problem: noAdapter, printed: '' }, host)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device webgpu: no driver offers a GPU
        fix: install a Vulkan driver: NVIDIA's has one, for others it is mesa-vulkan-drivers on Debian]
    `);
  });

  test('WebGPU, without a driver elsewhere', () => {
    const windows = { ...host, platform: 'win32' };
    expect(unavailable('webgpu', { problem: noAdapter, printed: '' }, windows)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device webgpu: no driver offers a GPU
        fix: install the GPU's driver]
    `);
  });

  test('WebGPU, on a system that it is not made for', () => {
    const arm = { ...host, arch: 'arm64' };
    expect(unavailable('webgpu', { problem: noBackend('webgpu'), printed: '' }, arm)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device webgpu: ONNX Runtime has no WebGPU on linux arm64
        fix: use --device cpu]
    `);
  });

  test('WebGPU, for a reason unknown here', () => {
    const problem = 'its driver ended the process that tested it (SIGSEGV)';
    expect(unavailable('webgpu', { problem, printed: '' }, host)).toMatchInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: device webgpu: no session can be made: its driver ended the process that tested it (SIGSEGV)
        fix: use --device cpu]
    `);
  });
});
