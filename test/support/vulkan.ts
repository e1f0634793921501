/** @file A Vulkan driver for tests of WebGPU: the machine's, or the one in software that comes with Debian's Chromium. */
import { existsSync } from 'node:fs';
import { probeDevice } from '../../src/engine/runtime/devices-node.ts';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/**
 * Makes this process, and those it starts, find a driver. A GPU's own is taken where there is one.
 *
 * @returns why there is none
 */
export async function findVulkanDriver(): Promise<string | undefined> {
  if ('seconds' in (await probeDevice('webgpu', 16))) return undefined;
  if (!existsSync(SWIFTSHADER)) return 'neither a GPU with a Vulkan driver nor Debian’s chromium is there';
  process.env.VK_ICD_FILENAMES = SWIFTSHADER;
  const outcome = await probeDevice('webgpu', 16);
  return 'problem' in outcome ? outcome.problem : undefined;
}
