/**
 * The devices of a fleet as what runs has them, kept from cycle to cycle: a cycle works on them and is undone, then what
 * changed is taken over.
 *
 * Where every holder has its own bound devices, it does not matter in which order they were taken. Where some are packed
 * (edge clusters) or several hold one device, the first one has it: such a cluster is loose, and after any change in it all
 * of it is taken anew in order of start. So the account is the same whichever way it came about.
 */
import { Capacity } from '../capacity.ts';
import type { HolderNumbers } from '../devices/holder-numbers.ts';
import type { RunningWorkload, WorkloadCluster } from '../snapshot.ts';
import { byStart, type RosterChange } from './roster.ts';

export class RunningDevices {
  readonly account: Capacity;
  private readonly loose = new Set<string>();

  /** Of `running` those that `counts` are held. */
  constructor(
    clusters: readonly WorkloadCluster[],
    holders: HolderNumbers,
    private readonly running: Iterable<RunningWorkload>,
    private readonly counts: (running: RunningWorkload) => boolean = () => true,
  ) {
    this.account = new Capacity(clusters, holders);
    this.change({ gone: [], come: running });
    this.account.begin();
  }

  /** Undoes what a cycle did, and takes the change over. `running` has it already. */
  update(clusters: readonly WorkloadCluster[], change: RosterChange): void {
    this.account.revert();
    this.account.describe(clusters);
    this.change(change);
    this.account.begin();
  }

  private change({ gone, come }: { gone: Iterable<RunningWorkload>; come: Iterable<RunningWorkload> }): void {
    const touched = new Set<string>();
    for (const { holderId, tasks } of gone) {
      this.account.release(holderId);
      if (this.loose.size > 0) for (const { clusterId } of tasks) touched.add(clusterId);
    }
    for (const each of come) {
      if (!this.counts(each)) continue;
      this.take(each);
      if (this.loose.size > 0) for (const { clusterId } of each.tasks) touched.add(clusterId);
    }
    const again = [...touched].filter((clusterId) => this.loose.has(clusterId));
    if (again.length > 0) this.takeAnew(new Set(again));
  }

  private take({ holderId, claim, tasks }: RunningWorkload): void {
    if (this.account.take(holderId, claim, tasks)) return;
    for (const { clusterId } of tasks) this.loose.add(clusterId);
  }

  /** With all loose clusters that are tied to these by work that spans them. */
  private takeAnew(clusterIds: Set<string>): void {
    const holders = new Set<RunningWorkload>();
    for (let before = -1; before !== holders.size; ) {
      before = holders.size;
      for (const each of this.running) {
        if (!this.counts(each) || !each.tasks.some(({ clusterId }) => clusterIds.has(clusterId))) continue;
        holders.add(each);
        for (const { clusterId } of each.tasks) if (this.loose.has(clusterId)) clusterIds.add(clusterId);
      }
    }
    for (const { holderId } of holders) this.account.release(holderId);
    for (const clusterId of clusterIds) this.loose.delete(clusterId);
    for (const each of [...holders].sort(byStart)) this.take(each);
  }
}
