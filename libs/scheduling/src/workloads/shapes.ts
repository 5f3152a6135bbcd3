/** Workloads that ask for the same thing have one shape: what one of them was told holds for all of them. */
import type { ClusterSelector, GangPolicy, ResourceClaim } from '#domain';
import type { PlaceRequest } from './ports.ts';
import type { PendingWorkload } from './snapshot.ts';

/** Of those with as many devices a member, so many are compared field by field before a key is made: that is dear. */
const COMPARED_MAX = 8;

interface Shape {
  readonly work: PendingWorkload;
  readonly number: number;
}

export class Shapes {
  private readonly numbers = new Map<string, number>();
  /** Devices a member → the first of each shape. */
  private readonly compared = new Map<number, Shape[]>();
  /** One workload is asked about several times in turn. */
  private last: Shape | null = null;

  /** 0, 1, 2 …: equal for equal claims, gangs, selectors and clusters to avoid. */
  of(work: PendingWorkload): number {
    if (this.last?.work !== work) this.last = { work, number: this.numberOf(work) };
    return this.last.number;
  }

  private numberOf(work: PendingWorkload): number {
    const shapes = this.comparedTo(work.claim.count);
    for (const { work: other, number } of shapes) if (isAlike(other, work)) return number;
    const key = keyOf(work);
    const number = this.numbers.get(key) ?? this.numbers.size;
    this.numbers.set(key, number);
    if (shapes.length < COMPARED_MAX) shapes.push({ work, number });
    return number;
  }

  private comparedTo(count: number): Shape[] {
    const known = this.compared.get(count);
    if (known !== undefined) return known;
    const shapes: Shape[] = [];
    this.compared.set(count, shapes);
    return shapes;
  }
}

/** Certainly of one shape; false says nothing. */
function isAlike(left: PendingWorkload, right: PendingWorkload): boolean {
  return (
    isSameClaim(left.claim, right.claim) &&
    isSameGang(left.gang, right.gang) &&
    (left.selector === right.selector || (isAnywhere(left.selector) && isAnywhere(right.selector))) &&
    left.avoidClusterIds.length === 0 &&
    right.avoidClusterIds.length === 0
  );
}

function isSameClaim(left: ResourceClaim, right: ResourceClaim): boolean {
  return (
    left.count === right.count &&
    left.deviceType === right.deviceType &&
    left.memoryBytesPerDevice === right.memoryBytesPerDevice &&
    left.schedulingPolicy.topologyScope === right.schedulingPolicy.topologyScope
  );
}

function isSameGang(left: GangPolicy, right: GangPolicy): boolean {
  return (
    left.size === right.size &&
    left.minimum === right.minimum &&
    left.spansClusters === right.spansClusters &&
    left.topology?.scope === right.topology?.scope &&
    left.topology?.required === right.topology?.required
  );
}

function isAnywhere({ kinds, regions, labels, clusterNames }: ClusterSelector): boolean {
  return kinds === undefined && regions === undefined && labels === undefined && clusterNames === undefined;
}

function keyOf({ claim, gang, selector, avoidClusterIds }: PendingWorkload): string {
  const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
  const asked = `${deviceType} ${count} ${memoryBytesPerDevice ?? 0} ${schedulingPolicy.topologyScope}`;
  const members = `${gang.size} ${gang.minimum} ${gang.spansClusters}`;
  const together = gang.topology === null ? '' : `${gang.topology.scope} ${gang.topology.required}`;
  const { kinds, regions, labels, clusterNames } = selector;
  const where = isAnywhere(selector) ? '' : JSON.stringify([kinds, regions, labels, clusterNames]);
  return `${asked}|${members}|${together}|${where}|${avoidClusterIds.join(' ')}`;
}

/** What the capacity is asked; `members`, when fewer than the gang's size may start. */
export function requestOf(work: PendingWorkload, members = work.gang.size): PlaceRequest {
  const { id, claim, gang, selector, avoidClusterIds, preferredClusterIds } = work;
  const asked = members === gang.size ? gang : { ...gang, size: members };
  return { workloadId: id, claim, gang: asked, selector, avoidClusterIds, preferredClusterIds };
}
