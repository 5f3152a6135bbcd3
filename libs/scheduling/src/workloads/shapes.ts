/** Workloads that ask for the same thing have one shape: what one of them was told holds for all of them. */
import type { PlaceRequest } from './ports.ts';
import type { PendingWorkload } from './snapshot.ts';

export class Shapes {
  private readonly numbers = new Map<string, number>();
  private readonly ofWork = new WeakMap<PendingWorkload, number>();

  /** 0, 1, 2 …: equal for equal claims, gangs, selectors and clusters to avoid. */
  of(work: PendingWorkload): number {
    const known = this.ofWork.get(work);
    if (known !== undefined) return known;
    const key = keyOf(work);
    const number = this.numbers.get(key) ?? this.numbers.size;
    this.numbers.set(key, number);
    this.ofWork.set(work, number);
    return number;
  }
}

function keyOf({ claim, gang, selector, avoidClusterIds }: PendingWorkload): string {
  const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
  const asked = `${deviceType} ${count} ${memoryBytesPerDevice ?? 0} ${schedulingPolicy.topologyScope}`;
  const members = `${gang.size} ${gang.minimum} ${gang.spansClusters}`;
  const together = gang.topology === null ? '' : `${gang.topology.scope} ${gang.topology.required}`;
  const { kinds, regions, labels, clusterNames } = selector;
  const isAnywhere = kinds === undefined && regions === undefined && labels === undefined && clusterNames === undefined;
  const where = isAnywhere ? '' : JSON.stringify([kinds, regions, labels, clusterNames]);
  return `${asked}|${members}|${together}|${where}|${avoidClusterIds.join(' ')}`;
}

/** What the capacity is asked; `members`, when fewer than the gang's size may start. */
export function requestOf(work: PendingWorkload, members = work.gang.size): PlaceRequest {
  const { id, claim, gang, selector, avoidClusterIds, preferredClusterIds } = work;
  const asked = members === gang.size ? gang : { ...gang, size: members };
  return { workloadId: id, claim, gang: asked, selector, avoidClusterIds, preferredClusterIds };
}
