import { describe, expect, it } from '@jest/globals';
import type { VersionArtifact } from '#domain';
import { judgeDiff } from './judge-diff.ts';
import { type ClusterQuestion, planForCluster } from './plan-for-cluster.ts';
import { artifact, digestOf, MB, NOW, policy, VERSIONS, version } from './sync.builders.ts';

const ago = (seconds: number) => new Date(NOW.getTime() - seconds * 1_000);
const pending = (phase: VersionArtifact['phase'], wantedAt = NOW) => artifact(3, 4, 0, { phase, wantedAt });
/** At 1 MB/s a whole version takes 100 s; the diff of 3 s' making pays. */
const SLOW = { registryBytesPerSecond: MB, applyBytesPerSecond: {} };

interface Case {
  name: string;
  asked?: Partial<ClusterQuestion>;
  want: { base: string; profile: string } | null;
  waits: boolean;
}

const small = (number: number) => {
  const [weights] = version(number).files;
  return version(number, { files: [{ ...weights!, sizeBytes: 50_000 }], sizeBytes: 50_000 });
};

const cases: Case[] = [
  { name: 'there is none: wanted, and waited for', want: { base: 'v3', profile: 'small' }, waits: true },
  {
    name: 'the link is fast: the quick profile',
    asked: { measures: { registryBytesPerSecond: 20 * MB, applyBytesPerSecond: {} } },
    want: { base: 'v3', profile: 'fast' },
    waits: true,
  },
  {
    name: 'several versions are held: against the newest',
    asked: { held: [1, 3, 2].map(digestOf) },
    want: { base: 'v3', profile: 'small' },
    waits: true,
  },
  {
    name: 'a chain does, but costs twice the bytes',
    asked: { held: [digestOf(1)], artifacts: [artifact(1, 2, 35), artifact(2, 4, 35)] },
    want: { base: 'v1', profile: 'small' },
    waits: true,
  },
  {
    name: 'a chain does nearly as well',
    asked: { held: [digestOf(1)], artifacts: [artifact(1, 2, 15), artifact(2, 4, 15)] },
    want: null,
    waits: false,
  },
  { name: 'one is being made', asked: { artifacts: [pending('Making')] }, want: null, waits: true },
  { name: 'one is in the queue', asked: { artifacts: [pending('Wanted')] }, want: null, waits: true },
  {
    name: 'R8 one was wanted too long ago: its maker may be dead',
    asked: { artifacts: [pending('Making', ago(61))] },
    want: null,
    waits: false,
  },
  {
    name: 'one failed: it is not made again for every one who asks',
    asked: { artifacts: [pending('Failed')] },
    want: null,
    waits: false,
  },
  { name: 'one is there', asked: { artifacts: [artifact(3, 4, 20)] }, want: null, waits: false },
  {
    name: 'the one that is there failed here',
    asked: { artifacts: [artifact(3, 4, 20)], avoid: ['3-4-fast'] },
    want: null,
    waits: false,
  },
  { name: 'nothing is held', asked: { held: [] }, want: null, waits: false },
  {
    name: 'what is held is retired',
    asked: { versions: [version(3, { phase: 'Retired' }), version(4)] },
    want: null,
    waits: false,
  },
  {
    name: 'a neighbour has the version',
    asked: { neighbour: { clusterId: 'n', name: 'near', url: 'http://n/' } },
    want: null,
    waits: false,
  },
  {
    name: 'the policy takes no diffs',
    asked: { cluster: { kind: 'central', sync: policy({ mode: 'snapshot' }) } },
    want: null,
    waits: false,
  },
  {
    name: 'the version is so small that it does not matter',
    asked: { version: small(4), versions: [small(3), small(4)], held: [digestOf(3)] },
    want: null,
    waits: false,
  },
];

describe('whether a diff is worth having when', () => {
  it.each(cases)('$name', ({ asked, want, waits }) => {
    const question: ClusterQuestion = {
      cluster: { kind: 'edge', sync: policy() },
      version: version(4),
      versions: VERSIONS,
      artifacts: [],
      neighbour: null,
      held: [digestOf(3)],
      measures: SLOW,
      ...asked,
    };
    const verdict = judgeDiff(question, planForCluster(question), NOW);
    const wanted = verdict.want === null ? null : { base: verdict.want.baseVersionId, profile: verdict.want.profile };
    expect({ want: wanted, waits: verdict.waitFor !== null }).toEqual({ want, waits });
  });

  it('a version that takes long to encode is waited for only by a link that is slower still', () => {
    const files = (number: number) => [{ ...version(number).files[0]!, sizeBytes: 4e9 }];
    const versions = [3, 4].map((number) => version(number, { files: files(number), sizeBytes: 4e9 }));
    const waitsAt = (bytesPerSecond: number) => {
      const question: ClusterQuestion = {
        cluster: { kind: 'edge', sync: policy() },
        version: versions[1]!,
        versions,
        artifacts: [artifact(3, 4, 0, { phase: 'Making' })],
        neighbour: null,
        held: [digestOf(3)],
        measures: { registryBytesPerSecond: bytesPerSecond, applyBytesPerSecond: {} },
      };
      return judgeDiff(question, planForCluster(question), NOW).waitFor !== null;
    };
    expect([waitsAt(10 * MB), waitsAt(1_000 * MB)]).toEqual([true, false]);
  });

  it('who waits asks again when it may be there, not every second', () => {
    const retryAt = (ageSeconds: number) => {
      const wantedAt = new Date(NOW.getTime() - ageSeconds * 1_000);
      const question: ClusterQuestion = {
        cluster: { kind: 'edge', sync: policy() },
        version: version(4),
        versions: VERSIONS,
        artifacts: [artifact(3, 4, 0, { phase: 'Making', wantedAt })],
        neighbour: null,
        held: [digestOf(3)],
        measures: SLOW,
      };
      return judgeDiff(question, planForCluster(question), NOW).waitFor?.retryAfterSeconds;
    };
    const [atOnce, later, late] = [retryAt(0)!, retryAt(1)!, retryAt(8)!];
    expect(atOnce).toBeGreaterThan(2);
    expect([atOnce - later, late]).toEqual([1, 1]);
  });
});
