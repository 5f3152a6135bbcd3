import { describe, expect, it } from '@jest/globals';
import type { Rollout, RolloutPolicy } from '#domain';
import { cluster, deployment, fleet, NOW_MS, type PlacedReplica, placed, rollout } from '../fleet.builders.ts';
import type { ClusterSnapshot } from '../snapshot.ts';
import { type ComparedOutcomes, rolloutFactsOf } from './facts.ts';
import { type RolloutStep, resumeRollout, stepRollout } from './step.ts';

const wave = (which: object, rest: object = {}) => ({ soakSeconds: 0, pauseAfter: false, ...which, ...rest });
const THREE: RolloutPolicy['waves'] = [
  wave({ clusterNames: ['a'] }, { soakSeconds: 60 }),
  wave({ percent: 60 }, { pauseAfter: true }),
  wave({ percent: 100 }, { soakSeconds: 30 }),
];
const ago = (seconds: number) => new Date(NOW_MS - seconds * 1_000);

interface Row {
  name: string;
  rollout?: Parameters<typeof rollout>[1];
  clusters?: ClusterSnapshot[];
  placed?: PlacedReplica[];
  replicas?: number;
  outcomes?: ComparedOutcomes;
  want: RolloutStep | string;
}

function factsFor({ rollout: sketch, clusters, placed: replicas = [], replicas: wanted, outcomes }: Row) {
  const { policy, ...rest } = sketch ?? {};
  const of: Rollout = rollout('chat', { ...rest, policy: { waves: THREE, ...policy } });
  const subject = deployment('chat', { versionId: 'v2', replicas: wanted ?? replicas.length });
  const states = clusters ?? ['a', 'b', 'c', 'd', 'e'].map((name) => cluster(name, { devices: 2 }));
  const snapshot = fleet({ clusters: states, deployments: [subject], placed: replicas, rollouts: [of] });
  return rolloutFactsOf(snapshot, 'chat', outcomes ?? null)!;
}

/** A text is a wait for that reason. */
function check(rows: Row[], decide = stepRollout): void {
  it.each(rows)('$name', (row) => {
    const want = typeof row.want === 'string' ? { step: 'wait', reason: row.want } : row.want;
    expect(decide(factsFor(row))).toEqual(want);
  });
}

const old = (where: string, rest: Parameters<typeof placed>[3] = {}) => placed(`o-${where}`, 'chat', where, rest);
const next = (where: string, rest: Parameters<typeof placed>[3] = {}) =>
  placed(`n-${where}`, 'chat', where, { versionId: 'v2', createdSecondsAgo: 10, ...rest });
const olds = (...names: string[]) => names.map((name) => old(name));
const nexts = (...names: string[]) => names.map((name) => next(name));
const waveReady = (index: number): RolloutStep => ({ step: 'wave-ready', reason: `wave ${index} of 3 serves` });

describe('a rollout from wave to wave', () => {
  const first = { wave: 0, openClusterIds: ['a'] };
  const second = { wave: 1, openClusterIds: ['a', 'b', 'c'] };
  const third = { wave: 2, openClusterIds: ['a', 'b', 'c', 'd', 'e'], isOpenToAll: true };
  const rest = olds('b', 'c', 'd', 'e');
  check([
    {
      name: 'begins with its first wave',
      rollout: { wave: -1 },
      placed: olds('a', 'b', 'c', 'd', 'e'),
      want: { step: 'open-wave', wave: 0, clusterIds: ['a'], isOpenToAll: false, reason: 'wave 1 of 3 is open to a' },
    },
    {
      name: 'waits for the old replica to be replaced',
      rollout: first,
      placed: [old('a'), ...rest],
      want: 'wave 1 of 3 waits for a: 1 old replica is still to go',
    },
    {
      name: 'waits for the new one to be ready',
      rollout: first,
      placed: [next('a', { says: 'Starting' }), ...rest],
      want: 'wave 1 of 3 waits for a: 0 of 1 new replicas are ready',
    },
    {
      name: 'and for the old one beside it to go',
      rollout: first,
      placed: [next('a'), old('a'), ...rest],
      replicas: 5,
      want: 'wave 1 of 3 waits for a: 1 old replica is still to go',
    },
    {
      name: 'what drains to make room for its own replacement is still to be replaced',
      rollout: first,
      placed: [
        old('a', {
          phase: 'Draining',
          reason: 'no room to run old and new side by side: replaced in place in a',
        }),
        ...rest,
      ],
      want: 'wave 1 of 3 waits for a: 1 old replica is still to go',
    },
    {
      name: 'what drains having been replaced is not waited for',
      rollout: first,
      placed: [next('a'), old('a', { phase: 'Draining' }), ...rest],
      replicas: 5,
      want: waveReady(1),
    },
    { name: 'is ready when it serves', rollout: first, placed: [next('a'), ...rest], want: waveReady(1) },
    {
      name: 'names what fails',
      rollout: first,
      placed: [next('a', { says: 'Failed', restarts: 2 }), ...rest],
      want: 'wave 1 of 3 waits for a: 0 of 1 new replicas are ready, one failed 2 times: no reason',
    },
    {
      name: 'a wave of clusters that run nothing is ready at once',
      rollout: { wave: 0, openClusterIds: ['z'] },
      placed: olds('a'),
      want: waveReady(1),
    },
    {
      name: 'soaks',
      rollout: { ...first, waveReadyAt: ago(59) },
      placed: [next('a'), ...rest],
      want: 'wave 1 of 3 serves and soaks for 60 s',
    },
    {
      name: 'does not go on while what soaked serves no more',
      rollout: { ...first, waveReadyAt: ago(600) },
      placed: [next('a', { says: 'Starting' }), ...rest],
      want: 'wave 1 of 3 waits for a: 0 of 1 new replicas are ready',
    },
    {
      name: 'opens the next when it has soaked',
      rollout: { ...first, waveReadyAt: ago(60) },
      placed: [next('a'), ...rest],
      want: {
        step: 'open-wave',
        wave: 1,
        clusterIds: ['a', 'b', 'c'],
        isOpenToAll: false,
        reason: 'wave 2 of 3 is open to b, c',
      },
    },
    {
      name: 'pauses where it is told to',
      rollout: { ...second, waveReadyAt: ago(1) },
      placed: [...nexts('a', 'b', 'c'), ...olds('d', 'e')],
      want: { step: 'pause', reason: 'wave 2 of 3 is done; resume to open the next one' },
    },
    {
      name: 'stays paused',
      rollout: { ...second, waveReadyAt: ago(1), phase: 'Paused', reason: 'paused by ann' },
      placed: [...nexts('a', 'b', 'c'), ...olds('d', 'e')],
      want: 'paused by ann',
    },
    {
      name: 'the last one soaks, too',
      rollout: { ...third, waveReadyAt: ago(29) },
      placed: nexts('a', 'b', 'c', 'd', 'e'),
      want: 'wave 3 of 3 serves and soaks for 30 s',
    },
    {
      name: 'is complete when every replica runs the new version',
      rollout: { ...third, waveReadyAt: ago(30) },
      placed: nexts('a', 'b', 'c', 'd', 'e'),
      want: { step: 'complete', reason: 'every replica runs the new version' },
    },
    {
      name: 'is not complete while an old one is assigned anywhere',
      rollout: { ...third, waveReadyAt: ago(30) },
      placed: [...nexts('a', 'b', 'c', 'd'), old('e')],
      want: 'wave 3 of 3 waits for e: 1 old replica is still to go',
    },
    {
      name: 'names three, and how many more',
      rollout: { wave: 2, isOpenToAll: true },
      placed: olds('a', 'b', 'c', 'd', 'e'),
      want: 'wave 3 of 3 waits for a: 1 old replica is still to go, b: 1 old replica is still to go, c: 1 old replica is still to go and 2 more',
    },
    {
      name: 'with nothing running it opens to all at once',
      rollout: { wave: -1 },
      replicas: 0,
      want: {
        step: 'open-wave',
        wave: 2,
        clusterIds: [],
        isOpenToAll: true,
        reason: 'wave 3 of 3 is open to every cluster',
      },
    },
  ]);
});

describe('what holds a wave up, and what does not', () => {
  const first = { wave: 0, openClusterIds: ['a', 'b'] };
  const three = (phaseOfB: Parameters<typeof cluster>[1]) => [
    cluster('a', { devices: 2 }),
    cluster('b', { devices: 2, ...phaseOfB }),
    cluster('c'),
    cluster('d'),
  ];
  check([
    {
      name: 'a silent cluster does, and is named',
      rollout: first,
      clusters: three({ phase: 'Suspect', phaseSecondsAgo: 2 }),
      placed: [next('a'), old('b'), old('c')],
      want: 'wave 1 of 3 waits for b: out of contact (placed 2/3; 1 runs on until it is replaced; 0/1 clusters fit: 1 Suspect)',
    },
    {
      name: 'even when its replica was heard ready',
      rollout: first,
      clusters: three({ phase: 'Unknown', phaseSecondsAgo: 300 }),
      placed: [next('a'), next('b'), old('c')],
      want: 'wave 1 of 3 waits for b: out of contact',
    },
    {
      name: 'until the deployment gives it up',
      rollout: first,
      clusters: three({ phase: 'Unknown', phaseSecondsAgo: 301 }),
      placed: [next('a'), old('b'), old('c')],
      want: waveReady(1),
    },
    {
      name: 'given up ones are no canaries: a share is of those that are left',
      rollout: { wave: -1, policy: { waves: [wave({ percent: 40 }), wave({ percent: 100 })] } },
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 301 }), cluster('b'), cluster('c')],
      placed: [old('a'), old('b'), old('c')],
      want: { step: 'open-wave', wave: 0, clusterIds: ['b'], isOpenToAll: false, reason: 'wave 1 of 2 is open to b' },
    },
    {
      name: 'X05 with most clusters silent none is given up',
      rollout: first,
      clusters: [
        cluster('a', { devices: 2 }),
        ...['b', 'c', 'd'].map((name) => cluster(name, { phase: 'Unknown', phaseSecondsAgo: 9_000 })),
      ],
      placed: [next('a'), next('b'), old('c')],
      want: 'wave 1 of 3 waits for b: out of contact',
    },
    {
      name: 'given up ones do not keep it from being complete',
      rollout: { wave: 2, isOpenToAll: true, waveReadyAt: ago(60) },
      clusters: three({ phase: 'Unknown', phaseSecondsAgo: 301 }),
      placed: [next('a'), old('b'), next('c')],
      want: { step: 'complete', reason: 'every replica runs the new version' },
    },
    {
      name: 'a silent cluster outside the wave does not',
      rollout: { wave: 0, openClusterIds: ['a'] },
      clusters: three({ phase: 'Suspect', phaseSecondsAgo: 2 }),
      placed: [next('a'), old('b'), old('c')],
      want: waveReady(1),
    },
    {
      name: 'a version that cannot be fetched does, with the reason, and is not aborted',
      rollout: first,
      clusters: [withFailedSync(cluster('a', { devices: 2 }), 'no space left'), cluster('b', { devices: 2 })],
      placed: [next('a', { says: 'Pending', restarts: 0 }), next('b')],
      want: 'wave 1 of 3 waits for a: the new version cannot be fetched: no space left',
    },
    {
      name: 'a cordoned cluster does, with the reason',
      rollout: { wave: 0, openClusterIds: ['a'] },
      clusters: [cluster('a', { devices: 2, cordoned: true }), cluster('b', { devices: 2 })],
      placed: [old('a'), old('b')],
      want: 'wave 1 of 3 waits for a: 1 old replica is still to go (placed 1/2; 1 runs on until it is replaced; 0/2 clusters fit: 1 cordoned, 1 not reached by the rollout)',
    },
  ]);
});

function withFailedSync({ cluster: of, report }: ClusterSnapshot, reason: string): ClusterSnapshot {
  const failed = { digest: 'v2', phase: 'Failed', bytesHave: 0, bytesTotal: 1, reason } as const;
  return { cluster: of, report: { ...report!, versions: [failed] } };
}

describe('strict', () => {
  const strict = { policy: { waves: [wave({ percent: 100 }, { soakSeconds: 30 })], consistency: 'strict' as const } };
  const open = { ...strict, wave: 0, openClusterIds: ['a', 'b'], isOpenToAll: true };
  const both = [cluster('a', { devices: 2 }), cluster('b', { devices: 2 })];
  check([
    {
      name: 'waits until as many new as old are placed',
      rollout: open,
      clusters: both,
      placed: [old('a'), old('b'), next('a')],
      replicas: 2,
      want: 'wave 1 of 1 waits for b: 0 of 1 new replicas are ready',
    },
    {
      name: 'and ready',
      rollout: open,
      clusters: both,
      placed: [old('a'), old('b'), next('a'), next('b', { says: 'Starting' })],
      replicas: 2,
      want: 'wave 1 of 1 waits for b: 0 of 1 new replicas are ready',
    },
    {
      name: 'then switches, before any soak',
      rollout: open,
      clusters: both,
      placed: [old('a'), old('b'), next('a'), next('b')],
      replicas: 2,
      want: { step: 'switch', reason: 'all new replicas are ready: the new version takes all traffic' },
    },
    {
      name: 'says what to free where both do not fit',
      rollout: open,
      clusters: [cluster('a', { devices: 2 }), cluster('b')],
      placed: [old('a'), old('b'), next('a')],
      replicas: 2,
      want: 'wave 1 of 1 waits for b: 0 of 1 new replicas are ready (placed 2/2; 1 new replica cannot start beside the old ones in b (0/1 clusters fit: 1 has no free nvidia.com/gpu ×1 in one node): free as much there as the old ones hold, or roll out without strict consistency)',
    },
    {
      name: 'after the switch waits for the old ones to drain',
      rollout: { ...open, isSwitched: true },
      clusters: both,
      placed: [old('a'), next('a'), next('b')],
      replicas: 2,
      want: 'wave 1 of 1 waits for a: 1 old replica is still to go',
    },
    {
      name: 'is ready when they have',
      rollout: { ...open, isSwitched: true },
      clusters: both,
      placed: nexts('a', 'b'),
      want: { step: 'wave-ready', reason: 'wave 1 of 1 serves' },
    },
    {
      name: 'soaks while it serves',
      rollout: { ...open, isSwitched: true, waveReadyAt: ago(29) },
      clusters: both,
      placed: nexts('a', 'b'),
      want: 'wave 1 of 1 serves and soaks for 30 s',
    },
    {
      name: 'does not switch in a wave before the last',
      rollout: { ...strict, policy: { ...strict.policy, waves: THREE }, wave: 0, openClusterIds: ['a'] },
      clusters: both,
      placed: [old('a'), old('b'), next('a')],
      replicas: 2,
      want: waveReady(1),
    },
  ]);
});

describe('a rollout that is worse', () => {
  const failing = [next('a', { says: 'Failed', restarts: 3 }), old('b')];
  const aborts: RolloutStep = { step: 'abort', reason: 'a replica of the new version failed 3 times in a' };
  check([
    { name: 'is aborted', rollout: { wave: 0, openClusterIds: ['a'] }, placed: failing, want: aborts },
    {
      name: 'is aborted while it is paused',
      rollout: { wave: 0, openClusterIds: ['a'], phase: 'Paused' },
      placed: failing,
      want: aborts,
    },
    {
      name: 'waits for people when it has no rule',
      rollout: { wave: 0, openClusterIds: ['a'], policy: { abort: null } },
      placed: failing,
      want: 'wave 1 of 3 waits for a: 0 of 1 new replicas are ready, one failed 3 times: no reason',
    },
  ]);
});

describe('resuming', () => {
  const paused = { phase: 'Paused' as const, reason: 'paused by ann' };
  const five = [...nexts('a', 'b', 'c'), ...olds('d', 'e')];
  const second = { wave: 1, openClusterIds: ['a', 'b', 'c'] };
  check(
    [
      {
        name: 'after the pause of a wave opens the next',
        rollout: { ...second, ...paused, waveReadyAt: ago(1) },
        placed: five,
        want: {
          step: 'open-wave',
          wave: 2,
          clusterIds: ['a', 'b', 'c', 'd', 'e'],
          isOpenToAll: true,
          reason: 'wave 3 of 3 is open to every cluster',
        },
      },
      {
        name: 'in the middle of a wave goes on with it',
        rollout: { ...second, ...paused },
        placed: [...nexts('a', 'b'), ...olds('c', 'd', 'e')],
        want: 'wave 2 of 3 waits for c: 1 old replica is still to go',
      },
      {
        name: 'does not shorten a soak',
        rollout: { wave: 0, openClusterIds: ['a'], ...paused, waveReadyAt: ago(59) },
        placed: [next('a'), ...olds('b', 'c', 'd', 'e')],
        want: 'wave 1 of 3 serves and soaks for 60 s',
      },
    ],
    resumeRollout,
  );
});

describe('the facts', () => {
  it('are none without an active rollout, or without its deployment', () => {
    const snapshot = fleet({ clusters: [], rollouts: [rollout('gone')], deployments: [deployment('chat')] });
    expect([rolloutFactsOf(snapshot, 'chat', null), rolloutFactsOf(snapshot, 'gone', null)]).toEqual([null, null]);
  });

  it('asked twice, the answer is the same, and nothing is changed by asking', () => {
    const facts = factsFor({ name: '', placed: olds('a', 'b'), rollout: { wave: 0, openClusterIds: ['a'] }, want: '' });
    const copy = structuredClone(facts);
    expect(stepRollout(facts)).toEqual(stepRollout(facts));
    expect(facts).toEqual(copy);
  });
});
