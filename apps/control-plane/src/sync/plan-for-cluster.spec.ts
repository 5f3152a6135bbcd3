import { describe, expect, it } from '@jest/globals';
import { type ClusterQuestion, planForCluster } from './plan-for-cluster.ts';
import { artifact, digestOf, MB, policy, TOKENIZER, VERSIONS, version, weightsOf } from './sync.builders.ts';

const NEIGHBOUR = { clusterId: 'id-near', name: 'near', url: 'http://10.0.0.2:7500/atoll/blobs' };

function question(change: Partial<ClusterQuestion> = {}): ClusterQuestion {
  return {
    cluster: { kind: 'edge', sync: policy() },
    version: version(4),
    versions: VERSIONS,
    artifacts: [],
    neighbour: null,
    held: [],
    measures: null,
    ...change,
  };
}

interface Case {
  name: string;
  asked: Partial<ClusterQuestion>;
  want: { path: string; from: string[]; wire: number; registry?: number };
}

const CHAIN = [artifact(1, 2, 20), artifact(2, 3, 20), artifact(3, 4, 20)];
const SNAPSHOT_POLICY = { kind: 'central', sync: policy({ mode: 'snapshot' }) } as const;

const cases: Case[] = [
  {
    name: 'whole files where nothing is held',
    asked: { artifacts: CHAIN },
    want: { path: 'whole-files', from: ['registry'], wire: 101 },
  },
  {
    name: 'only the files that differ from those of versions held',
    asked: { held: [digestOf(1)] },
    want: { path: 'whole-files', from: ['registry'], wire: 100 },
  },
  {
    name: 'only the files that no other version here has',
    asked: { filesHeld: [weightsOf(4)] },
    want: { path: 'whole-files', from: ['registry'], wire: 1 },
  },
  {
    name: 'nothing at all where every file is here under another version',
    asked: { filesHeld: [weightsOf(4), TOKENIZER], neighbour: NEIGHBOUR },
    want: { path: 'whole-files', from: ['registry'], wire: 0 },
  },
  {
    name: 'a snapshot that is smaller',
    asked: { artifacts: [artifact(0, 4, 60)] },
    want: { path: 'snapshot', from: ['0-4-snapshot'], wire: 60 },
  },
  {
    name: 'a direct diff',
    asked: { artifacts: CHAIN, held: [digestOf(3)] },
    want: { path: 'direct-diff', from: ['3-4-fast'], wire: 20 },
  },
  {
    name: 'a chain of diffs',
    asked: { artifacts: CHAIN, held: [digestOf(1)] },
    want: { path: 'diff-chain', from: ['1-2-fast', '2-3-fast', '3-4-fast'], wire: 60 },
  },
  {
    name: 'an older snapshot and a diff',
    asked: { artifacts: [artifact(0, 3, 30), artifact(3, 4, 10)] },
    want: { path: 'snapshot-and-diffs', from: ['0-3-snapshot', '3-4-fast'], wire: 40 },
  },
  {
    name: 'the smaller of two diffs over a slow link',
    asked: {
      artifacts: [artifact(3, 4, 25), artifact(3, 4, 15, { profile: 'small' })],
      held: [digestOf(3)],
      measures: { registryBytesPerSecond: MB, applyBytesPerSecond: {} },
    },
    want: { path: 'direct-diff', from: ['3-4-small'], wire: 15 },
  },
  {
    name: 'the quicker of two diffs over a fast link',
    asked: {
      artifacts: [artifact(3, 4, 25), artifact(3, 4, 15, { profile: 'small' })],
      held: [digestOf(3)],
      measures: { registryBytesPerSecond: 50 * MB, applyBytesPerSecond: {} },
    },
    want: { path: 'direct-diff', from: ['3-4-fast'], wire: 25 },
  },
  {
    name: 'the smaller one where the policy makes a fast link slow',
    asked: {
      cluster: { kind: 'edge', sync: policy({ bytesPerSecondMax: MB }) },
      artifacts: [artifact(3, 4, 25), artifact(3, 4, 15, { profile: 'small' })],
      held: [digestOf(3)],
      measures: { registryBytesPerSecond: 50 * MB, applyBytesPerSecond: {} },
    },
    want: { path: 'direct-diff', from: ['3-4-small'], wire: 15 },
  },
  {
    name: 'not the artifact that failed here',
    asked: { artifacts: [artifact(3, 4, 20)], held: [digestOf(3)], avoid: ['3-4-fast'] },
    want: { path: 'whole-files', from: ['registry'], wire: 100 },
  },
  {
    name: 'not an artifact that is not made yet',
    asked: { artifacts: [artifact(3, 4, 20, { phase: 'Making' })], held: [digestOf(3)] },
    want: { path: 'whole-files', from: ['registry'], wire: 100 },
  },
  {
    name: 'by snapshot policy: no diff, however small',
    asked: { cluster: SNAPSHOT_POLICY, artifacts: [artifact(0, 4, 60), ...CHAIN], held: [digestOf(3)] },
    want: { path: 'snapshot', from: ['0-4-snapshot'], wire: 60 },
  },
  {
    name: 'by snapshot policy: no diff on an older snapshot either',
    asked: { cluster: SNAPSHOT_POLICY, artifacts: [artifact(0, 3, 3), artifact(3, 4, 1)] },
    want: { path: 'whole-files', from: ['registry'], wire: 101 },
  },
  {
    name: 'from the neighbour that has it, whatever the registry offers',
    asked: { artifacts: [...CHAIN, artifact(0, 4, 1)], held: [digestOf(3)], neighbour: NEIGHBOUR },
    want: { path: 'whole-files', from: ['near'], wire: 100, registry: 0 },
  },
  {
    name: 'again what it says to hold: it asks because that is broken',
    asked: { held: [digestOf(4), digestOf(3)], artifacts: CHAIN },
    want: { path: 'direct-diff', from: ['3-4-fast'], wire: 20 },
  },
];

describe('one cluster gets one version by', () => {
  it.each(cases)('$name', ({ asked, want }) => {
    const plan = planForCluster(question(asked));
    if (plan.path === 'impossible') throw new Error(plan.reason);
    const from = plan.steps.map(({ artifactId, neighbour }) => artifactId ?? neighbour?.name ?? 'registry');
    expect({ path: plan.path, from, wire: plan.wireBytes / MB, registry: plan.registryBytes / MB }).toEqual({
      registry: want.wire,
      ...want,
    });
  });

  it('says that the policy takes no diffs', () => {
    const { reason } = planForCluster(question({ cluster: SNAPSHOT_POLICY, artifacts: CHAIN, held: [digestOf(3)] }));
    expect(reason).toMatch(/^policy snapshot takes no diffs: the whole version/);
  });

  it('lists content that stands at two paths once', () => {
    const [weights] = version(4).files;
    const twice = version(4, { files: [weights!, { ...weights!, path: 'copy' }] });
    const plan = planForCluster(question({ version: twice }));
    expect(plan.path === 'impossible' ? [] : plan.steps[0]!.files.map(({ digest }) => digest)).toEqual([weightsOf(4)]);
  });

  it('counts what it needs on disk: what is made, and what it is made from', () => {
    const plan = planForCluster(question({ artifacts: CHAIN, held: [digestOf(3)] }));
    expect(plan.path === 'impossible' ? 0 : plan.diskBytes / MB).toBe(120);
  });

  it('has no chain of more files than an answer may hold', () => {
    const many = (base: number, to: number) => {
      const [file] = artifact(base, to, 1).files;
      const files = Array.from({ length: 6_000 }, (_, index) => ({
        ...file!,
        digest: `${base}${to}${index}`,
        blobBytes: 1,
      }));
      return artifact(base, to, 1, { files });
    };
    const plan = planForCluster(question({ artifacts: [many(2, 3), many(3, 4)], held: [digestOf(2)] }));
    expect(plan.path).toBe('whole-files');
  });
});
