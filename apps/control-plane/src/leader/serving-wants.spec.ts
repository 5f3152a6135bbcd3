import { describe, expect, it } from '@jest/globals';
import type { CandidateVerdict, Deployment, Placement } from '#domain';
import type { DeploymentPlan, FleetSnapshot, SpreadRoom } from '#scheduling';
import { servingWantsOf, WANTED_REPLICAS_MAX } from './serving-wants.ts';

interface Case {
  readonly title: string;
  readonly replicas: number;
  /** Placements that are there, of which the plan removes some. */
  readonly there?: number;
  readonly removed?: number;
  readonly assigned?: number;
  readonly waiting: number;
  readonly rejectedBy?: readonly (string | null)[];
  readonly isDeleted?: boolean;
  readonly isChoosy?: boolean;
  /** Default: none is demanded. */
  readonly spread?: SpreadRoom;
  /** Replicas wanted; 0: the deployment is not named. */
  readonly want: number;
}

function wantsOf(given: Case) {
  const {
    replicas,
    there = 0,
    removed = 0,
    assigned = 0,
    waiting,
    rejectedBy = ['devices'],
    isDeleted = false,
    isChoosy = false,
    spread = null,
  } = given;
  const nodes = { required: isChoosy ? { disk: 'nvme' } : {}, preferred: {} };
  const deletedAt = isDeleted ? new Date(0) : null;
  const deployment = { id: 'd', replicas, deletedAt, serving: { nodes } } as Deployment;
  const placements = Array.from({ length: there }, (_, index) => ({ id: `p${index}`, deploymentId: 'd' }) as Placement);
  const plan = {
    deploymentId: 'd',
    assign: Array.from({ length: assigned }, () => ({})),
    remove: placements.slice(0, removed).map(({ id }) => ({ placementId: id })),
    waiting,
    spread,
    decision: {
      candidates: rejectedBy.map((by, index) => ({ rejectedBy: by, clusterId: `c${index}` }) as CandidateVerdict),
      outcome: '',
    },
  } as unknown as DeploymentPlan;
  const snapshot = { deployments: [deployment], placements, failedIn: new Map([['d', new Set(['c'])]]) };
  return servingWantsOf(snapshot as unknown as FleetSnapshot, [plan]);
}

describe('replicas for which jobs may have to make room', () => {
  it.each<Case>([
    { title: 'none has a place', replicas: 2, waiting: 2, want: 2 },
    { title: 'some run, some were placed', replicas: 5, there: 2, assigned: 1, waiting: 2, want: 2 },
    { title: 'one ended', replicas: 2, there: 2, removed: 1, waiting: 1, want: 1 },
    { title: 'nobody waits', replicas: 2, there: 2, waiting: 0, want: 0 },
    { title: 'only another version waits', replicas: 2, there: 2, waiting: 1, want: 0 },
    {
      title: 'no cluster has such devices to give',
      replicas: 1,
      waiting: 1,
      rejectedBy: ['region', 'cordon'],
      want: 0,
    },
    { title: 'being deleted', replicas: 1, waiting: 1, isDeleted: true, want: 0 },
    { title: 'must be on certain nodes', replicas: 1, waiting: 1, isChoosy: true, want: 0 },
    { title: 'more than room is made for at a time', replicas: 100, waiting: 100, want: WANTED_REPLICAS_MAX },
  ])('$title', (given) => {
    const wants = wantsOf(given);
    expect(wants.map(({ replicas }) => replicas)).toEqual(given.want === 0 ? [] : [given.want]);
    expect(wants.every(({ avoidClusterIds }) => avoidClusterIds.join() === 'c')).toBe(true);
  });

  /** Of clusters c0 and c1, both without free devices. */
  it.each([
    {
      title: 'some may go anywhere: so many, everywhere',
      spread: { missing: 2, anywhere: 3, closedClusterIds: [] },
      want: { replicas: 3, avoidClusterIds: ['c'] },
    },
    {
      title: 'each must go to a group that has none: one at a time, in others',
      spread: { missing: 2, anywhere: 0, closedClusterIds: ['c0'] },
      want: { replicas: 1, avoidClusterIds: ['c', 'c0'] },
    },
    {
      title: 'enough groups have some: all',
      spread: { missing: 0, anywhere: 5, closedClusterIds: [] },
      want: { replicas: 5, avoidClusterIds: ['c'] },
    },
    {
      title: 'only where none may go are such devices: nothing',
      spread: { missing: 1, anywhere: 0, closedClusterIds: ['c0', 'c1'] },
      want: null,
    },
  ])('X04 $title', ({ title, spread, want }) => {
    const wants = wantsOf({ title, replicas: 5, waiting: 5, rejectedBy: ['devices', 'devices'], spread, want: 0 });
    const got = wants.map(({ replicas, avoidClusterIds }) => ({ replicas, avoidClusterIds }));
    expect(got).toEqual(want === null ? [] : [want]);
  });
});
