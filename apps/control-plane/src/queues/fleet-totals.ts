/**
 * How many devices of each type the fleet has, as clusters last reported them. Reports are large and this is asked for
 * with every look at queues, so the answer is kept for some seconds.
 */
import { Injectable } from '@nestjs/common';
import { type DeviceCounts, type DeviceType, type Observation, Store } from '#domain';

const KEPT_MS = 5_000;

@Injectable()
export class FleetTotals {
  #kept: { readonly counts: Promise<DeviceCounts>; readonly untilMs: number } | null = null;

  constructor(private readonly store: Store) {}

  read(): Promise<DeviceCounts> {
    if (this.#kept !== null && this.#kept.untilMs > performance.now()) return this.#kept.counts;
    const counts = this.store.read.observations.all().then(countDevices);
    const kept = { counts, untilMs: performance.now() + KEPT_MS };
    this.#kept = kept;
    counts.catch(() => {
      if (this.#kept === kept) this.#kept = null;
    });
    return counts;
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
