/** @file The flag that says what models run on, shared by the commands that run them. */
import { Option } from 'commander';
import { DEVICE_REQUESTS, type DeviceRequest } from '../engine/runtime/devices-node.ts';

export interface DeviceFlag {
  readonly device: DeviceRequest;
}

export function deviceOption(): Option {
  return new Option('--device <name>', 'device to run on; auto: a GPU that is faster than the CPU, else cpu')
    .choices(DEVICE_REQUESTS)
    .default('cpu');
}
