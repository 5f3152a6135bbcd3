import { describe, expect, it } from '@jest/globals';
import type { Deployment, Placement } from '#domain';
import type { ClusterSnapshot, FleetSnapshot } from '#scheduling';
import { FailureMemory } from './failure-memory.ts';

function snapshot(nowMs: number, restarts: number, versionId = 'v1'): FleetSnapshot {
  const replicas = [{ replicaId: 'p', deploymentId: 'd', versionDigest: 'v1', phase: 'Failed', reason: '', restarts }];
  return {
    nowMs,
    deployments: [{ id: 'd', versionId } as Deployment],
    clusters: [
      {
        cluster: { id: 'c' },
        report: { nodes: [], replicas, versions: [], isSettled: true },
      } as unknown as ClusterSnapshot,
    ],
    placements: [{ id: 'p', deploymentId: 'd', clusterId: 'c', versionId: 'v1' } as Placement],
    reservations: new Map(),
    versionDigests: new Map(),
    rollouts: new Map(),
    failedIn: new Map(),
  };
}

const failedIn = (memory: FailureMemory, at: FleetSnapshot) => [...(memory.update(at).get('d') ?? [])];

describe('where a version lately failed', () => {
  it('counts from five failures on', () => {
    const memory = new FailureMemory();
    expect([failedIn(memory, snapshot(0, 4)), failedIn(memory, snapshot(1, 5))]).toEqual([[], ['c']]);
  });

  it('is remembered for ten minutes after the replica has gone', () => {
    const memory = new FailureMemory();
    failedIn(memory, snapshot(0, 5));
    const later = (nowMs: number) => failedIn(memory, { ...snapshot(nowMs, 0), placements: [] });
    expect([later(599_999), later(600_000)]).toEqual([['c'], []]);
  });

  it('does not count against another version', () => {
    const memory = new FailureMemory();
    failedIn(memory, snapshot(0, 5));
    expect(failedIn(memory, snapshot(1, 5, 'v2'))).toEqual([]);
  });

  it('forgets deployments that are gone', () => {
    const memory = new FailureMemory();
    failedIn(memory, snapshot(0, 5));
    expect(memory.update({ ...snapshot(1, 5), deployments: [] })).toEqual(new Map());
  });
});
