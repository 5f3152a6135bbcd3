/** This process' one view of who is alive: fed by heartbeats and reports, read by the leader's liveness loop. */
import { Injectable } from '@nestjs/common';
import { judgeSilence, type Life, LivenessTracker } from '#domain';

/** Monotonic milliseconds; replaced in specs. */
export abstract class MonotonicClock {
  abstract nowMs(): number;
}

export class ProcessClock extends MonotonicClock {
  override nowMs(): number {
    return performance.now();
  }
}

@Injectable()
export class FleetLiveness {
  private readonly tracker: LivenessTracker;
  /** Cluster id → when it was first expected to be heard. */
  private readonly expectedSinceMs = new Map<string, number>();

  constructor(private readonly clock: MonotonicClock) {
    this.tracker = new LivenessTracker(clock.nowMs());
  }

  seen(clusterId: string): void {
    this.tracker.seen(clusterId, this.clock.nowMs());
  }

  /** What was missed until now does not count against anybody. */
  blind(): void {
    this.tracker.blind(this.clock.nowMs());
  }

  /** About once a second; a later call than that means that this process was paused. */
  tick(): void {
    this.tracker.tick(this.clock.nowMs());
  }

  /** This cluster is a member from now on: its silence from before does not count against it. */
  expect(clusterId: string): void {
    this.expectedSinceMs.set(clusterId, this.clock.nowMs());
  }

  forget(clusterId: string): void {
    this.tracker.forget(clusterId);
    this.expectedSinceMs.delete(clusterId);
  }

  /** Milliseconds since the last sign of life that this process heard; null: none, or too long ago to remember. */
  silentMs(clusterId: string): number | null {
    return this.tracker.sinceSeenMs(clusterId, this.clock.nowMs());
  }

  judge(clusterId: string): { life: Life; seenSinceWatching: boolean } {
    const nowMs = this.clock.nowMs();
    const expectedMs = nowMs - (this.expectedSinceMs.get(clusterId) ?? Number.NEGATIVE_INFINITY);
    return {
      life: judgeSilence(Math.min(this.tracker.silenceMs(clusterId, nowMs), expectedMs)),
      seenSinceWatching: this.tracker.seenSinceWatching(clusterId),
    };
  }
}
