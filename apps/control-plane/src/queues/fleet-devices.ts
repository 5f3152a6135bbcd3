/**
 * The devices of the fleet as clusters last reported them. Reports are large and this is asked for with every look at
 * queues and every submission, so the answer is kept for some seconds.
 */
import { Injectable } from '@nestjs/common';
import { type Cluster, type DeviceCounts, type DeviceType, type Observation, Store } from '#domain';
import type { WorkloadCluster } from '#scheduling';

const KEPT_MS = 5_000;

export interface FleetDevices {
  readonly totals: DeviceCounts;
  /** Those that have reported, as if each took work: whether one does now is another question. */
  readonly clusters: readonly WorkloadCluster[];
}

@Injectable()
export class FleetDevicesReader {
  #kept: { readonly devices: Promise<FleetDevices>; readonly untilMs: number } | null = null;

  constructor(private readonly store: Store) {}

  read(): Promise<FleetDevices> {
    if (this.#kept !== null && this.#kept.untilMs > performance.now()) return this.#kept.devices;
    const kept = { devices: this.#readNow(), untilMs: performance.now() + KEPT_MS };
    this.#kept = kept;
    kept.devices.catch(() => {
      if (this.#kept === kept) this.#kept = null;
    });
    return kept.devices;
  }

  async #readNow(): Promise<FleetDevices> {
    const { read } = this.store;
    const [clusters, observations] = await Promise.all([read.clusters.all(), read.observations.all()]);
    return { totals: countDevices(observations), clusters: toWorkloadClusters(clusters, observations) };
  }
}

/** Pure. */
export function countDevices(observations: readonly Pick<Observation, 'report'>[]): DeviceCounts {
  const counts: Partial<Record<DeviceType, number>> = {};
  for (const { report } of observations) {
    for (const { devices } of report.nodes) {
      for (const { deviceType } of devices) counts[deviceType] = (counts[deviceType] ?? 0) + 1;
    }
  }
  return counts;
}

function toWorkloadClusters(clusters: readonly Cluster[], observations: readonly Observation[]): WorkloadCluster[] {
  const reports = new Map(observations.map(({ clusterId, report }) => [clusterId, report]));
  return clusters.flatMap(({ id, name, kind, region, zone, labels }) => {
    const report = reports.get(id);
    return report === undefined ? [] : [{ id, name, kind, region, zone, labels, closed: null, nodes: report.nodes }];
  });
}
