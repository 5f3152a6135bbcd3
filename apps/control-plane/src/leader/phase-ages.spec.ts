import { describe, expect, it } from '@jest/globals';
import type { ClusterSnapshot, FleetSnapshot } from '#scheduling';
import { PhaseAges } from './phase-ages.ts';

const ROW_MS = Date.UTC(2026, 0, 1);

/** As read at a wall clock that is `skewMs` away from the one that wrote the rows. */
function read(skewMs: number, phase = 'Unknown', sinceMs = ROW_MS): FleetSnapshot {
  const phaseSince = new Date(sinceMs);
  return {
    nowMs: ROW_MS + skewMs,
    deployments: [],
    clusters: [{ cluster: { id: 'c', phase, phaseSince, drain: null }, report: null } as unknown as ClusterSnapshot],
    placements: [{ id: 'p', phase: 'Draining', phaseSince } as unknown as FleetSnapshot['placements'][number]],
    reservations: new Map(),
    versionDigests: new Map(),
    rollouts: new Map(),
    failedIn: new Map(),
  };
}

function agesAt(clock: { atMs: number }) {
  const ages = new PhaseAges({ nowMs: () => clock.atMs });
  return (snapshot: FleetSnapshot) => {
    const { nowMs, clusters, placements } = ages.apply(snapshot);
    return [clusters[0]!.cluster, placements[0]!].map(({ phaseSince }) => nowMs - phaseSince.getTime());
  };
}

describe('R22: how long something stands so', () => {
  it.each([-600_000, 0, 600_000])('is what this leader has watched, with clocks %i ms apart', (skewMs) => {
    const clock = { atMs: 5_000 };
    const ages = agesAt(clock);
    const before = ages(read(skewMs));
    clock.atMs += 300_000;
    expect([before, ages(read(skewMs + 300_000))]).toEqual([
      [0, 0],
      [300_000, 300_000],
    ]);
  });

  it('does not jump with the wall clock', () => {
    const clock = { atMs: 5_000 };
    const ages = agesAt(clock);
    ages(read(0));
    clock.atMs += 1_000;
    expect(ages(read(600_000))).toEqual([1_000, 1_000]);
  });

  it('begins anew when the phase does, also after a return in between', () => {
    const clock = { atMs: 5_000 };
    const ages = agesAt(clock);
    ages(read(0));
    clock.atMs += 100_000;
    ages(read(100_000, 'Ready', ROW_MS + 50_000));
    clock.atMs += 100_000;
    expect(ages(read(200_000, 'Unknown', ROW_MS + 190_000))[0]).toBe(0);
  });
});

describe('R6: an outage that was taken for ours', () => {
  it('counts against nobody, and the slower clusters have their full time once others are back', () => {
    const clock = { atMs: 0 };
    const ages = new PhaseAges({ nowMs: () => clock.atMs });
    const ageOfSlowest = (phases: readonly string[]) => {
      const snapshot = read(clock.atMs);
      const clusters = phases.map((phase, index) => {
        const phaseSince = new Date(ROW_MS);
        return {
          cluster: { id: `c${index}`, phase, phaseSince, drain: null },
          report: null,
        } as unknown as ClusterSnapshot;
      });
      const applied = ages.apply({ ...snapshot, clusters });
      return applied.nowMs - applied.clusters[0]!.cluster.phaseSince.getTime();
    };
    const seen = [ageOfSlowest(['Unknown', 'Unknown', 'Unknown'])];
    for (const phases of [
      ['Unknown', 'Unknown', 'Unknown'],
      ['Unknown', 'Unknown', 'Ready'],
      ['Unknown', 'Ready', 'Ready'],
      ['Unknown', 'Ready', 'Ready'],
    ]) {
      clock.atMs += 400_000;
      seen.push(ageOfSlowest(phases));
    }
    expect(seen).toEqual([0, 0, 0, 400_000, 800_000]);
  });
});

describe('how long a cluster has been drained', () => {
  const drainedAt = (clock: { atMs: number }) => {
    const ages = new PhaseAges({ nowMs: () => clock.atMs });
    return (wallMs: number) => {
      const snapshot = read(wallMs, 'Draining');
      const drain = { mode: 'move', deadlineSeconds: 600, since: new Date(ROW_MS).toISOString(), requestedBy: 'key:a' };
      const clusters = snapshot.clusters.map(({ cluster, report }) => ({ cluster: { ...cluster, drain }, report }));
      const applied = ages.apply({ ...snapshot, clusters: clusters as typeof snapshot.clusters });
      return (applied.nowMs - Date.parse(applied.clusters[0]!.cluster.drain!.since)) / 1_000;
    };
  };

  it.each([-600_000, 0, 600_000])('R22: is what this leader has watched, with clocks %i ms apart', (skewMs) => {
    const clock = { atMs: 5_000 };
    const ageOf = drainedAt(clock);
    const before = ageOf(skewMs);
    clock.atMs += 30_000;
    expect([before, ageOf(skewMs + 30_000)]).toEqual([0, 30]);
  });

  it('is not forgotten with a leader: what no clock can be wrong by counts', () => {
    expect(drainedAt({ atMs: 5_000 })(3_600_000)).toBe(3_600 - 660);
  });
});
