/** What runs, as the quota account is charged for it: devices by queue and type, kept from cycle to cycle. */
import type { DeviceType } from '#domain';
import type { QuotaAccount } from '../ports.ts';
import type { RunningWorkload } from '../snapshot.ts';
import type { Roster, RosterChange } from './roster.ts';

export class Charges {
  /** Queue → device type → devices of every holder. */
  private readonly sums = new Map<string, Map<DeviceType, number>>();

  update({ gone, come }: RosterChange): void {
    for (const each of gone) add(this.sums, each, -1);
    for (const each of come) add(this.sums, each, 1);
  }

  /**
   * Jobs and serving alike (F13), but for those of queues that do not exist and those that are `spared`. A workload once,
   * as its largest holder, whatever number of holders it has (F12).
   */
  chargeTo(
    quota: QuotaAccount,
    queues: ReadonlyMap<string, unknown>,
    { repeated }: Pick<Roster, 'repeated'>,
    spared: ReadonlySet<RunningWorkload>,
  ): void {
    const uncharged = new Map<string, Map<DeviceType, number>>();
    for (const each of spared) add(uncharged, each, 1);
    for (const holders of repeated.values()) {
      const charged = holders.filter((each) => queues.has(each.queueId) && !spared.has(each));
      const largest = charged.reduce<RunningWorkload | null>(larger, null);
      for (const each of charged) if (each !== largest) add(uncharged, each, 1);
    }
    for (const [queueId, counts] of this.sums) {
      if (!queues.has(queueId)) continue;
      for (const [deviceType, count] of counts) {
        quota.charge(queueId, deviceType, count - (uncharged.get(queueId)?.get(deviceType) ?? 0));
      }
    }
  }
}

export function devicesOf({ claim, tasks }: Pick<RunningWorkload, 'claim' | 'tasks'>): number {
  return claim.count * tasks.length;
}

/** Of equal ones, the left. */
function larger(left: RunningWorkload | null, right: RunningWorkload): RunningWorkload {
  return left !== null && devicesOf(left) >= devicesOf(right) ? left : right;
}

function add(sums: Map<string, Map<DeviceType, number>>, running: RunningWorkload, sign: 1 | -1): void {
  const { queueId, claim } = running;
  let ofQueue = sums.get(queueId);
  if (ofQueue === undefined) {
    ofQueue = new Map();
    sums.set(queueId, ofQueue);
  }
  ofQueue.set(claim.deviceType, (ofQueue.get(claim.deviceType) ?? 0) + sign * devicesOf(running));
}
