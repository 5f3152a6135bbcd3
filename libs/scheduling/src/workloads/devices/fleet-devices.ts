/**
 * All devices of a fleet and who holds them. What runs is taken as it is told: a bound device that vanished is passed
 * over, one that is held stays with its first holder, and what is not bound, or no longer fits, is packed as it may.
 */
import {
  DEVICE_TYPES,
  type DeviceType,
  type Node,
  type NodeDevices,
  type ResourceClaim,
  type TaskBinding,
} from '#domain';
import type { WorkloadCluster } from '../snapshot.ts';
import { HolderNumbers } from './holder-numbers.ts';
import { Holdings } from './holdings.ts';
import { findSpot, mostMembers, needOfMembers } from './need.ts';
import { DevicePool, PoolLayout } from './pool.ts';
import { Topology } from './topology.ts';
import { TypeRooms } from './type-rooms.ts';

export interface ClusterRooms {
  cluster: WorkloadCluster;
  readonly byType: ReadonlyMap<DeviceType, TypeRooms>;
}

export class FleetDevices {
  /** In the snapshot's order. */
  readonly clusters: readonly ClusterRooms[];
  private readonly byId: ReadonlyMap<string, ClusterRooms>;
  private readonly all: readonly TypeRooms[];
  /** Slot of the fleet → whose it is, in `all`. */
  private readonly ownerOf: Int32Array;
  private readonly holdings: Holdings;
  /** Whether a device that was wanted since this was last set had a holder. */
  private isContested = false;

  constructor(
    clusters: readonly WorkloadCluster[],
    private readonly holders = new HolderNumbers(),
  ) {
    const pools = clusters.map(poolsOf);
    const size = pools.flat().reduce((sum, pool) => sum + pool.size, 0);
    this.ownerOf = new Int32Array(size);
    this.holdings = new Holdings(size, holders, (slot) => this.changed(slot));
    const all: TypeRooms[] = [];
    this.clusters = clusters.map((cluster, index) => ({
      cluster,
      byType: new Map(pools[index]!.map((pool) => [pool.deviceType, this.place(cluster, pool, all)])),
    }));
    this.all = all;
    this.byId = new Map(this.clusters.map((each) => [each.cluster.id, each]));
  }

  private place(cluster: WorkloadCluster, pool: DevicePool, all: TypeRooms[]): TypeRooms {
    const last = all.at(-1);
    const base = last === undefined ? 0 : last.base + last.pool.size;
    const holderOf = this.holdings.holderOf.subarray(base, base + pool.size);
    this.ownerOf.fill(all.length, base, base + pool.size);
    const rooms = new TypeRooms(cluster, pool, base, holderOf, (holder) => this.holders.nameOf(holder));
    all.push(rooms);
    return rooms;
  }

  private changed(slot: number): void {
    const { pool, base, holderOf } = this.all[this.ownerOf[slot]!]!;
    pool.changed(slot - base, holderOf[slot - base] === 0);
  }

  rooms(clusterId: string, deviceType: DeviceType): TypeRooms | undefined {
    return this.byId.get(clusterId)?.byType.get(deviceType);
  }

  /** In the order of the clusters. */
  ofType(deviceType: DeviceType): TypeRooms[] {
    return this.all.filter(({ pool }) => pool.deviceType === deviceType);
  }

  mark(): number {
    return this.holdings.mark();
  }

  rollback(mark: number): void {
    this.holdings.rollback(mark);
  }

  revert(): void {
    this.holdings.revert();
  }

  /** The same clusters with the same nodes, of which the rest may have changed. */
  describe(clusters: readonly WorkloadCluster[]): void {
    this.clusters.forEach((each, at) => {
      each.cluster = clusters[at]!;
      for (const rooms of each.byType.values()) rooms.cluster = each.cluster;
    });
  }

  release(holderId: string): void {
    this.holdings.release(holderId);
  }

  free(deviceType: DeviceType): number {
    return this.sum(deviceType, ({ pool }) => pool.free);
  }

  total(deviceType: DeviceType): number {
    return this.sum(deviceType, ({ pool }) => pool.size);
  }

  private sum(deviceType: DeviceType, count: (rooms: TypeRooms) => number): number {
    let sum = 0;
    for (const rooms of this.all) if (rooms.pool.deviceType === deviceType) sum += count(rooms);
    return sum;
  }

  /** Looks at every device of the type there. */
  holdersIn(clusterId: string, deviceType: DeviceType): string[] {
    const holders = new Set(this.rooms(clusterId, deviceType)?.holderOf);
    holders.delete(0);
    return [...holders].map((holder) => this.holders.nameOf(holder));
  }

  /** Whether what it took depends on nobody else: all was bound, and nothing of it was held. */
  take(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean {
    const holder = this.holders.of(holderId);
    this.isContested = false;
    for (const { clusterId, devices } of tasks) {
      const rooms = this.rooms(clusterId, claim.deviceType);
      if (rooms !== undefined && devices !== null) this.holdBound(rooms, devices, holder);
    }
    if (tasks.every(({ devices }) => devices !== null)) return !this.isContested;
    for (const [clusterId, members] of unboundByCluster(tasks)) {
      const rooms = this.rooms(clusterId, claim.deviceType);
      if (rooms === undefined) continue;
      const packed = this.pack(rooms, claim, members, holder);
      this.holdAny(rooms, (members - packed) * claim.count, holder);
    }
    return false;
  }

  /** False, and nothing taken, when not everything is there and free. */
  tryTake(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean {
    const mark = this.mark();
    if (this.takeAll(this.holders.of(holderId), claim, tasks)) return true;
    this.rollback(mark);
    return false;
  }

  private takeAll(holder: number, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean {
    for (const { clusterId, devices } of tasks) {
      if (devices === null) continue;
      const rooms = this.rooms(clusterId, claim.deviceType);
      const count = devices.reduce((sum, { deviceIds }) => sum + deviceIds.length, 0);
      if (rooms === undefined || this.holdBound(rooms, devices, holder) < count) return false;
    }
    for (const [clusterId, members] of unboundByCluster(tasks)) {
      const rooms = this.rooms(clusterId, claim.deviceType);
      if (rooms === undefined || this.pack(rooms, claim, members, holder) < members) return false;
    }
    return true;
  }

  /** How many of the devices it took. */
  private holdBound({ pool, base, holderOf }: TypeRooms, devices: readonly NodeDevices[], holder: number): number {
    let taken = 0;
    for (const { node, deviceIds } of devices) {
      const number = pool.topology.numberOf(node);
      if (number === -1) continue;
      let slot = -1;
      for (const deviceId of deviceIds) {
        slot = pool.slotOf(number, deviceId, slot + 1);
        if (slot === -1) continue;
        if (holderOf[slot] !== 0) {
          this.isContested = true;
          continue;
        }
        this.holdings.hold(base + slot, holder);
        taken += 1;
      }
    }
    return taken;
  }

  /** How many of the members it found room for. */
  private pack({ now, base }: TypeRooms, claim: ResourceClaim, members: number, holder: number): number {
    const need = needOfMembers(claim, members);
    const count = Math.min(members, mostMembers(now, need).members);
    const spot = count === 0 ? null : findSpot(now, need, count);
    if (spot === null) return 0;
    for (const slot of now.slotsOf(spot)) this.holdings.hold(base + slot, holder);
    return count;
  }

  /** Up to so many devices, any of the type. */
  private holdAny({ pool, base, holderOf }: TypeRooms, count: number, holder: number): void {
    let missing = Math.min(count, pool.free);
    for (let slot = 0; missing > 0; slot += 1) {
      if (holderOf[slot] !== 0) continue;
      this.holdings.hold(base + slot, holder);
      missing -= 1;
    }
  }
}

/** A snapshot's nodes never change; two accounts of a cycle, and cycles between two reports, share what is made of them. */
const layouts = new WeakMap<readonly Node[], readonly PoolLayout[]>();

function poolsOf({ nodes }: WorkloadCluster): DevicePool[] {
  const known = layouts.get(nodes) ?? layoutsOf(nodes);
  layouts.set(nodes, known);
  return known.map((layout) => new DevicePool(layout));
}

function layoutsOf(nodes: readonly Node[]): PoolLayout[] {
  const topology = new Topology(nodes);
  const present = new Set(nodes.flatMap(({ devices }) => devices.map(({ deviceType }) => deviceType)));
  return DEVICE_TYPES.filter((deviceType) => present.has(deviceType)).map((type) => new PoolLayout(topology, type));
}

function unboundByCluster(tasks: readonly TaskBinding[]): Map<string, number> {
  const members = new Map<string, number>();
  for (const { clusterId, devices } of tasks) {
    if (devices === null) members.set(clusterId, (members.get(clusterId) ?? 0) + 1);
  }
  return members;
}
