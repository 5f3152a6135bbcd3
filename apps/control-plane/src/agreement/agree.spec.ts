import { describe, expect, it } from '@jest/globals';
import type { ClusterReport, DesiredState } from '#domain';
import { digestOf, held, member, NOW, policy, VERSIONS } from '../sync/sync.builders.ts';
import { type AgreementMember, type AgreementQuestion, agree } from './agree.ts';

const OTHER = 'e'.repeat(64);
const STRANGE = 'c'.repeat(64);

const ago = (hours: number) => new Date(NOW.getTime() - hours * 3_600_000).toISOString();
const verified = (number: number, hours = 1) => held(number, { verifiedAt: ago(hours) });

function desired(numbers: readonly number[], replicas: readonly number[] = [], draining = false): DesiredState {
  return {
    clusterId: 'c',
    epoch: 1,
    revision: 1,
    versions: numbers.map((number) => {
      return { versionId: `v${number}`, modelName: 'tiny', number, digest: digestOf(number), files: [] };
    }),
    replicas: replicas.map((number) => ({
      replicaId: `r${number}`,
      deploymentId: 'd',
      deploymentName: 'chat',
      servedModel: 'tiny',
      versionDigest: digestOf(number),
      claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
      epoch: 1,
      draining,
    })),
    tasks: [],
  };
}

const serving = (number: number): ClusterReport['replicas'][number] => {
  return {
    replicaId: `r${number}`,
    deploymentId: 'd',
    versionDigest: digestOf(number),
    phase: 'Ready',
    reason: '',
    restarts: 0,
  };
};

function asked(members: readonly AgreementMember[]): AgreementQuestion {
  return {
    modelName: 'tiny',
    versions: VERSIONS,
    deploymentIds: new Set(['d']),
    digestsElsewhere: new Set([OTHER]),
    members,
    now: NOW,
  };
}

function of(
  name: string,
  report: Partial<ClusterReport> | null,
  state: DesiredState | null,
  change = {},
): AgreementMember {
  return { ...member(name, report, change), desired: state };
}

const CENTRAL = { kind: 'central' as const, sync: policy({ mode: 'snapshot', cron: '0 2 * * *' }) };

describe('a cluster drifts from what is wanted when', () => {
  const good: Partial<ClusterReport> = { versions: [verified(4)], replicas: [serving(4)] };
  const table: { name: string; member: AgreementMember; want: string }[] = [
    { name: '(it does not)', member: of('a', good, desired([4], [4])), want: '' },
    {
      name: '(not by holding an older version besides, nor one of another model)',
      member: of(
        'a',
        { ...good, versions: [verified(3), verified(4), { ...verified(4), digest: OTHER }] },
        desired([4], [4]),
      ),
      want: '',
    },
    {
      name: 'it holds what the registry does not know',
      member: of('a', { ...good, versions: [verified(4), { ...verified(4), digest: STRANGE }] }, desired([4], [4])),
      want: 'holds cccccccccccc, which the registry does not know',
    },
    { name: 'it lacks what is wanted', member: of('a', good, desired([3, 4], [4])), want: 'lacks version 3' },
    {
      name: 'it is still fetching',
      member: of(
        'a',
        { versions: [verified(3), held(4, { phase: 'Fetching', bytesHave: 41, bytesTotal: 100 })] },
        desired([4]),
      ),
      want: 'lacks version 4 (fetching, 41 %)',
    },
    {
      name: 'it failed',
      member: of('a', { versions: [held(4, { phase: 'Failed', reason: 'no space' })] }, desired([4])),
      want: 'version 4 failed: no space',
    },
    {
      name: 'it serves another version than is wanted',
      member: of('a', { versions: [verified(3), verified(4)], replicas: [serving(3)] }, desired([4], [4])),
      want: 'serves version 3 where version 4 is wanted',
    },
    {
      name: 'it serves what only drains',
      member: of('a', { versions: [verified(4)], replicas: [serving(4)] }, desired([4], [4], true)),
      want: 'serves version 4 where nothing is wanted',
    },
    {
      name: 'a central one verified last more than two periods ago',
      member: of('a', { ...good, versions: [verified(4, 49)] }, desired([4], [4]), CENTRAL),
      want: 'version 4 was verified last 49 h ago',
    },
    {
      name: '(not yet after two periods)',
      member: of('a', { ...good, versions: [verified(4, 48)] }, desired([4], [4]), CENTRAL),
      want: '',
    },
    {
      name: 'a central one never verified it',
      member: of('a', { ...good, versions: [held(4)] }, desired([4], [4]), CENTRAL),
      want: 'version 4 was never verified',
    },
    {
      name: '(not an edge, which verifies samples)',
      member: of('a', { ...good, versions: [verified(4, 1_000)] }, desired([4], [4])),
      want: '',
    },
    { name: 'it has never reported', member: of('a', null, desired([4])), want: 'has never reported; lacks version 4' },
  ];
  it.each(table)('$name', ({ member: each, want }) => {
    expect(agree(asked([each])).clusters.map(({ drift }) => drift)).toEqual([want]);
  });

  it('its report is old', () => {
    const late = { ...asked([of('a', good, desired([4], [4]))]), now: new Date(NOW.getTime() + 90_000) };
    expect(agree(late).clusters[0]).toMatchObject({ drift: 'reported last 90 s ago', ageSeconds: 90 });
  });

  it('R22 a clock that is behind makes no age negative', () => {
    const early = { ...asked([of('a', good, desired([4], [4]))]), now: new Date(NOW.getTime() - 600_000) };
    expect(agree(early).clusters[0]).toMatchObject({ drift: '', ageSeconds: 0 });
  });
});

describe('the version vector', () => {
  it('names what each cluster holds, serves and is to hold, by number', () => {
    const report = { versions: [verified(3), held(4, { phase: 'Fetching' })], replicas: [serving(3)] };
    expect(agree(asked([of('a', report, desired([4, 3], [3]))]))).toEqual({
      model: 'tiny',
      newest: 4,
      agrees: false,
      summary: '0 of 1 clusters agree; a lacks version 4 (fetching, 100 %)',
      clusters: [
        {
          cluster: 'a',
          kind: 'edge',
          held: [
            { version: 3, digest: digestOf(3), phase: 'Held', verifiedAt: ago(1) },
            { version: 4, digest: digestOf(4), phase: 'Fetching', verifiedAt: null },
          ],
          serving: [{ version: 3, digest: digestOf(3) }],
          wanted: [3, 4],
          drift: 'lacks version 4 (fetching, 100 %)',
          ageSeconds: 0,
        },
      ],
    });
  });

  const fine = (name: string) => of(name, { versions: [verified(4)] }, desired([4]));
  const lacking = (name: string) => of(name, {}, desired([4]));
  it.each([
    {
      name: 'nobody has to do with it',
      members: [of('a', {}, desired([]))],
      want: 'no cluster holds, serves or wants it',
    },
    { name: 'one', members: [fine('a')], want: '1 cluster agrees' },
    { name: 'all', members: [fine('a'), fine('b')], want: 'all 2 clusters agree' },
    {
      name: 'some do not',
      members: [fine('a'), lacking('c'), lacking('b')],
      want: '1 of 3 clusters agree; b lacks version 4 | c lacks version 4',
    },
    {
      name: 'many do not',
      members: Array.from({ length: 7 }, (_, index) => lacking(`c${index}`)),
      want: `0 of 7 clusters agree; ${[0, 1, 2, 3, 4].map((index) => `c${index} lacks version 4`).join(' | ')} | and 2 more`,
    },
  ])('in a sentence: $name', ({ members, want }) => {
    expect(agree(asked(members)).summary).toBe(want);
  });
});
