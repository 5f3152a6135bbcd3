/**
 * The clusters that a batch starts work in, their rows locked: whether each still takes work, still has the devices that
 * the plan bound and, where the cluster binds by itself, still has room beside all that was assigned to it.
 */
import type { Cluster, Job, NodeDevices, Observation, Rows, TaskBinding } from '#domain';
import { DeviceLedger, type PlannedStart } from '#scheduling';
import { takeWork } from '../leader/assigned-work.ts';

/** `<node> <device id>` */
type DeviceNames = ReadonlySet<string>;

export class ClusterGate {
  private taken = 0;

  private constructor(
    private readonly clusters: ReadonlyMap<string, Cluster>,
    /** Only of clusters that have reported again since the plan was made. */
    private readonly devices: ReadonlyMap<string, DeviceNames>,
    /** Only of clusters that bind by themselves. */
    private readonly ledgers: ReadonlyMap<string, DeviceLedger>,
  ) {}

  /** @param planned the observations that the plan was made from */
  static async lock(
    rows: Rows,
    starts: readonly PlannedStart[],
    planned: ReadonlyMap<string, Observation>,
  ): Promise<ClusterGate> {
    const tasks = starts.flatMap((start) => start.tasks);
    const ids = [...new Set(tasks.map(({ clusterId }) => clusterId))].sort();
    const unbound = new Set(tasks.filter(({ devices }) => devices === null).map(({ clusterId }) => clusterId));
    // Who binds devices is kept from taking another's by their holds; who counts room must be the only one that counts.
    const locked = await rows.clusters.lock(ids, unbound.size === 0 ? 'shared' : 'alone');
    const clusters = new Map(locked.map((cluster) => [cluster.id, cluster]));
    const newer = await readNewer(rows, ids, planned, unbound);
    const devices = new Map(newer.map((observation) => [observation.clusterId, deviceNamesOf(observation)]));
    const ledgers = new Map<string, DeviceLedger>();
    for (const observation of newer) {
      const { clusterId } = observation;
      if (unbound.has(clusterId)) ledgers.set(clusterId, await readLedger(rows, observation));
    }
    return new ClusterGate(clusters, devices, ledgers);
  }

  /** Why these members cannot all start, or null; then their room is taken, where the cluster binds by itself. */
  rejects({ spec }: Pick<Job, 'spec'>, tasks: readonly TaskBinding[]): string | null {
    for (const task of tasks) {
      const reason = this.rejectsTask(task);
      if (reason !== null) return reason;
    }
    this.taken += 1;
    const holder = `start ${this.taken}`;
    const unbound = tasks.filter(({ devices }) => devices === null);
    const full = unbound.find(({ clusterId }) => this.ledgers.get(clusterId)?.take(holder, spec.claim) !== true);
    if (full === undefined) return null;
    for (const { clusterId } of unbound) this.ledgers.get(clusterId)?.release(holder);
    return `cluster ${this.nameOf(full.clusterId)} has no room for it any more`;
  }

  private rejectsTask({ clusterId, devices }: TaskBinding): string | null {
    const cluster = this.clusters.get(clusterId);
    if (cluster?.phase !== 'Ready') return `cluster ${this.nameOf(clusterId)} is ${cluster?.phase ?? 'gone'} now`;
    if (cluster.cordoned) return `cluster ${cluster.name} was cordoned meanwhile`;
    if (cluster.drain !== null) return `cluster ${cluster.name} is being drained now`;
    if (cluster.ahead !== null) return `cluster ${cluster.name} is ahead of this database now`;
    const present = this.devices.get(clusterId);
    const gone = present === undefined ? null : firstGone(devices ?? [], present);
    return gone === null ? null : `device ${gone.deviceId} of node ${gone.node} in cluster ${cluster.name} is gone`;
  }

  private nameOf(clusterId: string): string {
    return this.clusters.get(clusterId)?.name ?? clusterId;
  }
}

/** Reports are large: those that the plan knows already are not read again. */
async function readNewer(
  rows: Rows,
  clusterIds: readonly string[],
  planned: ReadonlyMap<string, Observation>,
  anyway: ReadonlySet<string>,
): Promise<Observation[]> {
  const receivedAt = await rows.observations.receivedAt(clusterIds);
  const newer = clusterIds.filter((id) => {
    const isKnown = planned.get(id)?.receivedAt.getTime() === receivedAt.get(id)?.getTime();
    return anyway.has(id) || !isKnown;
  });
  return newer.length === 0 ? [] : rows.observations.findAll(newer);
}

function deviceNamesOf({ report }: Observation): DeviceNames {
  return new Set(report.nodes.flatMap(({ name, devices }) => devices.map(({ id }) => `${name} ${id}`)));
}

function firstGone(devices: readonly NodeDevices[], present: DeviceNames) {
  for (const { node, deviceIds } of devices) {
    const deviceId = deviceIds.find((id) => !present.has(`${node} ${id}`));
    if (deviceId !== undefined) return { node, deviceId };
  }
  return null;
}

async function readLedger(rows: Rows, { clusterId, report }: Observation): Promise<DeviceLedger> {
  const ledger = new DeviceLedger(report.nodes);
  takeWork(ledger, clusterId, await rows.placements.live({ clusterId }), await rows.attempts.live({ clusterId }));
  return ledger;
}
