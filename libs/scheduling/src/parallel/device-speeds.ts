/**
 * How fast devices compute and talk: vendors' data sheets, for 16-bit arithmetic without sparsity. They only rank splits
 * against each other; whether something fits is decided by memory alone. Devices report their type and memory, not their
 * make, so the nearest known one of the type by memory stands for them.
 */
import type { Device, DeviceType } from '#domain';

export interface DeviceSpeed {
  readonly make: string;
  readonly deviceType: DeviceType;
  readonly memoryBytes: number;
  /** Floating-point operations a second. */
  readonly flops: number;
  readonly memoryBytesPerSecond: number;
  /** Between two devices of one link domain, one way. */
  readonly linkBytesPerSecond: number;
}

const GB = 1e9;
const TERA = 1e12;

const row = (
  make: string,
  deviceType: DeviceType,
  memory: number,
  teraflops: number,
  memoryGb: number,
  linkGb: number,
): DeviceSpeed => ({
  make,
  deviceType,
  memoryBytes: memory * GB,
  flops: teraflops * TERA,
  memoryBytesPerSecond: memoryGb * GB,
  linkBytesPerSecond: linkGb * GB,
});

export const DEVICE_SPEEDS: readonly DeviceSpeed[] = [
  row('RTX 4090', 'nvidia.com/gpu', 24, 165, 1_008, 25),
  row('A100 40 GB', 'nvidia.com/gpu', 40, 312, 1_555, 300),
  row('L40S', 'nvidia.com/gpu', 48, 362, 864, 25),
  row('H100', 'nvidia.com/gpu', 80, 989, 3_350, 450),
  row('H200', 'nvidia.com/gpu', 141, 989, 4_800, 450),
  row('Ascend 910B 32 GB', 'huawei.com/ascend-npu', 32, 320, 1_200, 196),
  row('Ascend 910B', 'huawei.com/ascend-npu', 64, 376, 1_600, 196),
  row('MLU370', 'cambricon.com/mlu', 48, 96, 614, 100),
  row('MLU590', 'cambricon.com/mlu', 80, 314, 2_000, 186),
  row('a core of a server', 'cpu', 16, 0.1, 20, 20),
];

/** Between devices of one node without a link, of one rack, and farther apart; bytes a second, one way. */
export const NODE_BYTES_PER_SECOND = 25 * GB;
export const RACK_BYTES_PER_SECOND = 25 * GB;
export const FAR_BYTES_PER_SECOND = 3 * GB;
/** Of one message, and of one step of a collective. */
export const LATENCY_SECONDS = { link: 5e-6, node: 15e-6, rack: 30e-6, far: 500e-6 } as const;

export function speedOf({ deviceType, memoryBytes }: Pick<Device, 'deviceType' | 'memoryBytes'>): DeviceSpeed {
  const known = DEVICE_SPEEDS.filter((speed) => speed.deviceType === deviceType);
  return known.reduce((best, speed) =>
    Math.abs(speed.memoryBytes - memoryBytes) < Math.abs(best.memoryBytes - memoryBytes) ? speed : best,
  );
}
