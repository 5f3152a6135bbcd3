import { beforeEach, describe, expect, it } from '@jest/globals';
import type { RouteCluster } from '#domain';
import { createLogger } from '#telemetry';
import { FleetView } from './fleet-view.ts';

const A = { id: 'a', phase: 'Ready' } as RouteCluster;
let nowMs = 0;
let fleet: FleetView;
let suspects: string[];

beforeEach(() => {
  nowMs = 0;
  suspects = [];
  fleet = new FleetView(
    () => ['a'],
    createLogger({ process: 'spec', level: 'silent' }),
    () => nowMs,
  );
  fleet.onSuspect((clusterId) => suspects.push(clusterId));
  fleet.setConnected(true);
  fleet.seen('a');
});

function pass(ms: number): void {
  for (const end = nowMs + ms; nowMs < end; ) {
    nowMs = Math.min(end, nowMs + 250);
    fleet.tick();
  }
}

describe('fleet view', () => {
  it('R6: silent for more than 3 s is not routable, and said once; R8: one heartbeat ends it', () => {
    pass(3_000);
    expect([fleet.problem(A), suspects]).toEqual([null, []]);
    pass(1_000);
    expect([fleet.problem(A), suspects]).toEqual(['in a cluster silent for more than 3 s', ['a']]);
    fleet.seen('a');
    expect(fleet.problem(A)).toBeNull();
    pass(4_000);
    expect(suspects).toEqual(['a', 'a']);
  });

  it('what NATS says counts at once, until the next heartbeat', () => {
    fleet.lost('a');
    expect([fleet.problem(A), suspects]).toEqual(['in a cluster that disconnected', ['a']]);
    fleet.seen('a');
    expect(fleet.problem(A)).toBeNull();
  });

  it('R6: while it is cut off itself it blames nobody, and old blame does not outlive the cut', () => {
    fleet.lost('a');
    fleet.setConnected(false);
    pass(60_000);
    expect(fleet.problem(A)).toBeNull();
    fleet.setConnected(true);
    pass(2_750);
    expect([fleet.problem(A), suspects]).toEqual([null, ['a']]);
    pass(500);
    expect([fleet.problem(A), suspects]).toEqual(['in a cluster silent for more than 3 s', ['a', 'a']]);
  });

  it('a pause of this process counts against nobody', () => {
    nowMs += 300_000;
    fleet.tick();
    expect([fleet.problem(A), suspects]).toEqual([null, []]);
  });

  it.each(['PendingApproval', 'Left'] as const)('a cluster that is %s is never routable', (phase) => {
    expect(fleet.problem({ ...A, phase })).toBe(`in a cluster that is ${phase}`);
  });
});
