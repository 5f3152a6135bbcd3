// What tells a process which devices are its own: the variables of the vendors' runtimes. Pure.
import type { DeviceType, NodeDevices } from '#domain';

/** The runtime's variable that names the devices a process may see. */
const VISIBLE_DEVICES: Readonly<Record<DeviceType, string | null>> = {
  'nvidia.com/gpu': 'CUDA_VISIBLE_DEVICES',
  'huawei.com/ascend-npu': 'ASCEND_RT_VISIBLE_DEVICES',
  'cambricon.com/mlu': 'MLU_VISIBLE_DEVICES',
  cpu: null,
};

/** Devices of other types are hidden: what was not claimed belongs to others. */
export function deviceEnvironment(
  deviceType: DeviceType,
  devices: readonly NodeDevices[],
): Readonly<Record<string, string>> {
  const visible = Object.entries(VISIBLE_DEVICES).flatMap(([type, variable]) => {
    return variable === null ? [] : [[variable, type === deviceType ? visibleIds(devices).join(',') : '']];
  });
  return {
    ...Object.fromEntries(visible),
    // CUDA counts the fastest first unless it is told to count as nvidia-smi does.
    ...(deviceType === 'nvidia.com/gpu' ? { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' } : {}),
    ATOLL_DEVICES: devices.flatMap(({ deviceIds }) => deviceIds).join(','),
  };
}

/** As the vendor's tools number them, in the order in which they are bound. */
export function visibleIds(devices: readonly NodeDevices[]): string[] {
  return devices.flatMap(({ deviceIds }) => deviceIds.map(visibleId));
}

/** Runtimes want an index or a UUID of theirs: `gpu-3` is 3, `GPU-8c1f…` is itself. */
function visibleId(deviceId: string): string {
  if (/^(GPU|MIG)-/.test(deviceId)) return deviceId;
  return /(\d+)$/.exec(deviceId)?.[1] ?? deviceId;
}
