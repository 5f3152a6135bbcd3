/** Who holds which device of a replayed fleet, and how much device-time has been held: the check on the planner. */
import type { TaskBinding } from '#domain';
import type { WorkloadCluster } from '#scheduling';
import { BrokenPlanError } from '../errors.ts';

interface Hold {
  readonly devices: readonly string[];
  readonly sinceMs: number;
}

/** A time in which so many devices were held by one. */
export interface BusyInterval {
  readonly fromMs: number;
  readonly toMs: number;
  readonly devices: number;
}

export class HeldDevices {
  readonly busy: BusyInterval[] = [];
  private readonly holderByDevice = new Map<string, string | null>();
  private readonly holds = new Map<string, Hold>();

  constructor(private readonly cluster: WorkloadCluster) {
    for (const node of cluster.nodes) {
      for (const device of node.devices) this.holderByDevice.set(`${node.name}/${device.id}`, null);
    }
  }

  /** Throws BrokenPlanError for a device that does not exist, or that somebody holds. */
  take(holderId: string, tasks: readonly TaskBinding[], nowMs: number): void {
    const devices = tasks.flatMap((task) => this.devicesOf(holderId, task));
    for (const device of devices) {
      const holder = this.holderByDevice.get(device);
      if (holder === undefined) throw new BrokenPlanError(`${holderId} was given ${device}, which does not exist`);
      if (holder !== null) throw new BrokenPlanError(`${holderId} was given ${device}, which ${holder} holds`);
      this.holderByDevice.set(device, holderId);
    }
    this.holds.set(holderId, { devices, sinceMs: nowMs });
  }

  release(holderId: string, nowMs: number): void {
    const { devices, sinceMs } = this.holds.get(holderId)!;
    for (const device of devices) this.holderByDevice.set(device, null);
    this.holds.delete(holderId);
    this.busy.push({ fromMs: sinceMs, toMs: nowMs, devices: devices.length });
  }

  private devicesOf(holderId: string, { clusterId, devices }: TaskBinding): string[] {
    if (clusterId !== this.cluster.id || devices === null) {
      throw new BrokenPlanError(`${holderId} was started without devices of ${this.cluster.id}`);
    }
    return devices.flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${node}/${id}`));
  }
}
