import { describe, expect, it } from '@jest/globals';
import type { RolloutDto } from '#contracts';
import type { RolloutPhase } from '#domain';
import { describeStatus } from '../deployments/deployment-view.ts';
import { describeRollout } from './rollout-view.ts';

const rollout = (phase: RolloutPhase): RolloutDto => ({
  id: '01900000-0000-7000-8000-000000000001',
  fromVersion: 1,
  toVersion: 2,
  phase,
  wave: 1,
  waves: 3,
  openClusters: ['edge-1'],
  consistency: 'rolling',
  reason: 'wave 1 of 3 waits for edge-1',
  startedAt: '2026-01-02T03:04:05.678Z',
  endedAt: null,
});

const cases: { phase: RolloutPhase; want: string }[] = [
  { phase: 'Progressing', want: 'rollout from version 1 to 2: wave 1 of 3 waits for edge-1' },
  { phase: 'Paused', want: 'rollout from version 1 to 2 (paused): wave 1 of 3 waits for edge-1' },
  { phase: 'Aborted', want: 'the rollout from version 1 to 2 was aborted: wave 1 of 3 waits for edge-1' },
  { phase: 'Completed', want: '' },
  { phase: 'RolledBack', want: '' },
  { phase: 'Superseded', want: '' },
];

describe('U2 what a status says of the newest rollout', () => {
  it.each(cases)('$phase: $want', ({ phase, want }) => {
    expect(describeRollout(rollout(phase))).toBe(want);
  });

  it('is nothing before the first', () => {
    expect(describeRollout(null)).toBe('');
  });

  it('follows what it says of replicas, in one sentence', () => {
    const deployment = { replicas: 0, deletedAt: null };
    expect([
      describeStatus(deployment, [], 0, null, ['', '']),
      describeStatus(deployment, [], 0, null, ['first', '', 'second']),
      describeStatus({ ...deployment, replicas: 1 }, [], 0, 'nothing fits', ['first']),
    ]).toEqual([
      '0 of 0 replica(s) ready, as wanted.',
      '0 of 0 replica(s) ready, as wanted; first; second.',
      '0 of 1 replica(s) ready; nothing fits; first.',
    ]);
  });
});
