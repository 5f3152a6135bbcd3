/** Builders of device accounts for this library's specs. */
import type { NodeDevices, ResourceClaim } from '#domain';
import { Capacity } from './capacity.ts';
import type { WorkloadCluster } from './snapshot.ts';
import { binding, claim, GIGABYTE } from './workloads.builders.ts';

export const GPU = 'nvidia.com/gpu';

/** Who holds what before the question: `[cluster, devices]`. */
export type Held = readonly (readonly [string, NodeDevices])[];

export function capacityOf(clusters: readonly WorkloadCluster[], held: Held = []): Capacity {
  const capacity = new Capacity(clusters);
  held.forEach(([clusterId, devices], index) => {
    capacity.take(`held${index}`, claim(devices.deviceIds.length), [binding(0, clusterId, [devices])]);
  });
  return capacity;
}

/** A claim on devices of at least so much memory. */
export function memory(devices: number, gigabytes: number): { claim: ResourceClaim } {
  return { claim: { ...claim(devices), memoryBytesPerDevice: gigabytes * GIGABYTE } };
}
