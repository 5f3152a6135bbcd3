/**
 * The devices of a fleet, as a working copy of a snapshot: where a workload fits best, who holds what, and every change
 * with its undo.
 *
 * Choice: filters (is it one of the clusters meant, does it take new work, is there room), then scorers, then a stable
 * hash. Within a cluster see `devices/rooms.ts`: the smallest domain that fits, fewest racks before fewest nodes, linked
 * devices, least sufficient memory. Each question costs a few steps a cluster, whatever the number of nodes.
 *
 * Invariants: a device has at most one holder; what is placed was free; after a rollback every answer is what it was at
 * the mark. Central clusters get their devices bound; edge clusters bind by themselves, their room is counted by packing.
 *
 * Left to others: quota (`quota-tree.ts`), who is worth stopping (`preemption.ts`), in which order to ask (`cycle.ts`).
 */
import type { ClusterSelector, DeviceType, ResourceClaim, TaskBinding } from '#domain';
import { rejectSelected } from '../selector-filters.ts';
import {
  bindMembers,
  chooseAcross,
  chooseBeside,
  choosePart,
  chooseWhole,
  toPlaced,
  toPlacedAcross,
} from './capacity-choice.ts';
import { couldFit, largestIn, rejectPlace } from './capacity-reasons.ts';
import { FleetDevices } from './devices/fleet-devices.ts';
import type { HolderNumbers } from './devices/holder-numbers.ts';
import { Needs } from './devices/need.ts';
import type { TypeRooms } from './devices/type-rooms.ts';
import { CapacityAccount, type CapacityDomain, type Placed, type PlaceRejection, type PlaceRequest } from './ports.ts';
import type { WorkloadCluster } from './snapshot.ts';

/** Selectors whose clusters are remembered; at the bound all are forgotten. */
const SELECTORS_MAX = 256;

export class Capacity extends CapacityAccount {
  private readonly devices: FleetDevices;
  private readonly needs = new Needs();
  /** What a selector says → clusters that it means and that take new work. */
  private readonly bySelector = new Map<string, readonly TypeRooms[]>();

  /** `holders`: shared by accounts of the same fleet. */
  constructor(clusters: readonly WorkloadCluster[], holders?: HolderNumbers) {
    super();
    this.devices = new FleetDevices(clusters, holders);
  }

  find(request: PlaceRequest, within?: ReadonlySet<string>): Placed | null {
    const need = this.needs.of(request);
    const clusters = this.candidates(request, within);
    const whole = chooseWhole(clusters, need, request);
    if (whole !== null) return toPlaced(whole, need.claim.count);
    if (need.maySpan) return toPlacedAcross(chooseAcross(clusters, need, request), need.claim.count);
    const part = choosePart(clusters, need, request);
    return part === null ? null : toPlaced(part, need.claim.count);
  }

  /**
   * Where a member that lost its place goes: as close to those that stay as there is room, in the same domain where the
   * gang requires one (T08), in another cluster only where it may span them. Null: nowhere.
   */
  findReplacement(request: PlaceRequest, tasksThatStay: readonly TaskBinding[], rank: number): TaskBinding | null {
    const need = this.needs.of(request);
    const beside = new Set(tasksThatStay.map(({ clusterId }) => clusterId));
    const others = this.candidates(request).filter(({ cluster: { id } }) => need.maySpan && !beside.has(id));
    for (const rooms of [...this.candidates(request, beside), ...others]) {
      const { id } = rooms.cluster;
      const here = tasksThatStay.filter(({ clusterId }) => clusterId === id);
      const choice = chooseBeside(rooms, need, here);
      if (choice !== null) return bindMembers(choice, request.claim.count, rank)[0]!;
    }
    return null;
  }

  explain(request: PlaceRequest): PlaceRejection[] {
    const need = this.needs.of(request);
    return this.devices.clusters.flatMap((here) => rejectPlace(here, need, request) ?? []);
  }

  largest(request: PlaceRequest): ReturnType<CapacityAccount['largest']> {
    const meant = this.devices.clusters.filter(({ cluster }) => rejectSelected(cluster, request.selector) === null);
    return largestIn(meant, this.needs.of(request));
  }

  eligible(request: PlaceRequest): { clusterId: string; clusterName: string }[] {
    const need = this.needs.of(request);
    return this.candidates(request)
      .filter((rooms) => couldFit(rooms, need))
      .map(({ cluster: { id, name } }) => ({ clusterId: id, clusterName: name }));
  }

  /**
   * Of a cluster, the domains that are as wide as the claim, or the gang, may spread, and that have enough devices of
   * sufficient memory were they empty; for scope `link`, link domains. Domains of what does not change are the same objects.
   */
  domains(clusterId: string, request: PlaceRequest): CapacityDomain[] {
    const { claim, scope, member, minimum } = this.needs.of(request);
    const rooms = this.devices.rooms(clusterId, claim.deviceType);
    return rooms?.domains(scope, member.memoryBytes)?.withAtLeast(claim.count * minimum) ?? [];
  }

  /** Whether what it took depends on nobody else: all was bound, and nothing of it was held. */
  override take(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean {
    return this.devices.take(holderId, claim, tasks);
  }

  tryTake(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean {
    return this.devices.tryTake(holderId, claim, tasks);
  }

  release(holderId: string): void {
    this.devices.release(holderId);
  }

  mark(): number {
    return this.devices.mark();
  }

  rollback(mark: number): void {
    this.devices.rollback(mark);
  }

  /** From here on everything is undone by `revert`. */
  begin(): void {
    this.mark();
  }

  /** Undoes everything since `begin`; what is done before the next one stays. */
  revert(): void {
    this.devices.revert();
  }

  /** The same clusters with the same nodes, of which the rest may have changed. */
  describe(clusters: readonly WorkloadCluster[]): void {
    this.devices.describe(clusters);
    this.bySelector.clear();
  }

  holdersIn(clusterId: string, deviceType: DeviceType): string[] {
    return this.devices.holdersIn(clusterId, deviceType);
  }

  free(deviceType: DeviceType): number {
    return this.devices.free(deviceType);
  }

  total(deviceType: DeviceType): number {
    return this.devices.total(deviceType);
  }

  /** The devices of the type in clusters that are meant, open, and not to be avoided. */
  private candidates(request: PlaceRequest, within?: ReadonlySet<string>): readonly TypeRooms[] {
    const { selector, avoidClusterIds, claim } = request;
    const open = within?.size === 1 ? this.openOne([...within][0]!, request) : this.openTo(selector, claim.deviceType);
    if (within === undefined && avoidClusterIds.length === 0) return open;
    return open.filter(({ cluster: { id } }) => within?.has(id) !== false && !avoidClusterIds.includes(id));
  }

  private openOne(clusterId: string, { selector, claim }: PlaceRequest): readonly TypeRooms[] {
    const rooms = this.devices.rooms(clusterId, claim.deviceType);
    return rooms !== undefined && isOpenTo(rooms.cluster, selector) ? [rooms] : [];
  }

  private openTo(selector: ClusterSelector, deviceType: DeviceType): readonly TypeRooms[] {
    const key = `${deviceType} ${isAnywhere(selector) ? '' : JSON.stringify(selector)}`;
    const known = this.bySelector.get(key);
    if (known !== undefined) return known;
    const open = this.devices.ofType(deviceType).filter(({ cluster }) => isOpenTo(cluster, selector));
    if (this.bySelector.size === SELECTORS_MAX) this.bySelector.clear();
    this.bySelector.set(key, open);
    return open;
  }
}

function isAnywhere({ kinds, regions, labels, clusterNames }: ClusterSelector): boolean {
  return kinds === undefined && regions === undefined && labels === undefined && clusterNames === undefined;
}

function isOpenTo(cluster: WorkloadCluster, selector: ClusterSelector): boolean {
  return cluster.closed === null && rejectSelected(cluster, selector) === null;
}
