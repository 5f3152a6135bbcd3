import { describe, expect, it } from '@jest/globals';
import type { ConflictDto } from '#contracts';
import type { Cluster, DesiredVersion, HeldVersion, Observation, Placement, ReplicaReport } from '#domain';
import { age, type ClusterFacts, explainCluster } from './explain-cluster.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const ago = (seconds: number) => new Date(NOW_MS - seconds * 1_000);

const cluster = (rest: Partial<Cluster> = {}) =>
  ({
    ...{ id: 'c', name: 'harbour', phase: 'Ready', phaseSince: ago(5_000), cordoned: false, drain: null, ahead: null },
    ...rest,
  }) as Cluster;

const replica = (id: string, phase: ReplicaReport['phase'], rest: Partial<ReplicaReport> = {}): ReplicaReport => ({
  ...{ replicaId: id, deploymentId: 'd', versionDigest: 'v', phase, reason: '', restarts: 0 },
  ...rest,
});

function observed(rest: Partial<Observation['report']> = {}, secondsAgo = 2): Observation {
  const report = { epoch: 3, revision: 12, nodes: [], replicas: [], versions: [], ...rest };
  return { clusterId: 'c', report, replacedBoots: [], receivedAt: ago(secondsAgo) } as never;
}

const desired = (revision = 12, versions: Partial<DesiredVersion>[] = []) =>
  ({ clusterId: 'c', epoch: 3, revision, versions, replicas: [], tasks: [] }) as never;

const placement = (id: string, rest: Partial<Placement> = {}) =>
  ({ id, deploymentId: 'd', clusterId: 'c', phase: 'Assigned', devices: null, reason: 'best', ...rest }) as Placement;

const held = (digest: string, phase: HeldVersion['phase'], rest: Partial<HeldVersion> = {}): HeldVersion => ({
  ...{ digest, phase, bytesHave: 0, bytesTotal: 0, reason: '' },
  ...rest,
});

function explain(rest: Partial<ClusterFacts> = {}) {
  return explainCluster({
    ...{ nowMs: NOW_MS, cluster: cluster(), observation: observed(), desired: desired(), placements: [] },
    ...{ deploymentNames: new Map([['d', 'chat']]), drain: null, conflicts: [], silentMs: 400, disconnectedMs: null },
    ...rest,
  });
}

const conflict = (message: string, resolvedAt: string | null): ConflictDto => ({
  ...{ id: 'x', kind: 'replaced-elsewhere', subject: 'r', message, resolvedAt },
  ...{ resolution: resolvedAt === null ? null : 'by rule', openedAt: ago(60).toISOString() },
});

describe('U2: why a cluster is as it is', () => {
  it.each<[string, Partial<ClusterFacts>, [string, string, string | null][]]>([
    ['all is well', { placements: [placement('r')], observation: observed({ replicas: [replica('r', 'Ready')] }) }, []],
    [
      'nobody accepted it',
      { cluster: cluster({ phase: 'PendingApproval' }), observation: null, desired: null },
      [['membership', 'harbour asked to join and has not been accepted', 'atoll cluster accept harbour']],
    ],
    [
      'silent, and NATS said so',
      {
        cluster: cluster({ phase: 'Unknown', phaseSince: ago(600) }),
        observation: observed({}, 640),
        silentMs: 639_000,
        disconnectedMs: 638_000,
      },
      [
        [
          'contact',
          'harbour has been Unknown for 10 min: it has been silent for 11 min, its last report is 11 min old; NATS said 11 min ago that its connection ended',
          'look whether its machine runs and reaches NATS: atoll doctor, in the folder of its agent',
        ],
      ],
    ],
    [
      'heard, and never reported',
      { observation: null },
      [
        [
          'contact',
          'harbour is heard, but has not reported its devices yet',
          'look into the log of its agent, if this stays so for more than a minute',
        ],
      ],
    ],
    [
      'heard, and its reports stay away',
      { observation: observed({}, 90) },
      [
        [
          'contact',
          'harbour is heard, but its last report is 90 s old',
          'look into the log of its agent: reports are due every 10 s',
        ],
      ],
    ],
    [
      'R20: ahead of a restored database',
      {
        cluster: cluster({ ahead: { epoch: 9, revision: 812, since: '' } }),
        observation: observed({ epoch: 9, revision: 812 }),
      },
      [
        [
          'database',
          'harbour has applied revision 812 of epoch 9, the database knows 12 of epoch 3: it was restored from a backup; nothing is changed there',
          'see what would stop and start: atoll cluster resync harbour --dry-run; then without --dry-run',
        ],
      ],
    ],
    [
      'behind its document',
      { desired: desired(15) },
      [
        [
          'document',
          'its agent has applied revision 12 of its document, 15 is wanted (by its report of 2 s ago)',
          null,
        ],
      ],
    ],
    [
      'a bound device is gone',
      {
        placements: [placement('r', { devices: [{ node: 'n1', deviceIds: ['gpu-0', 'gpu-1'] }] })],
        observation: observed({
          replicas: [replica('r', 'Ready')],
          nodes: [{ name: 'n1', devices: [{ id: 'gpu-0', deviceType: 'nvidia.com/gpu', memoryBytes: 1 }] }],
        }),
      },
      [
        [
          'devices',
          '1 device that replicas are bound to are not there any more: gpu-1 of n1 (chat)',
          'look whether the machine still has them: drivers, cabling, the inventory of the agent',
        ],
      ],
    ],
    [
      'a replica fails, with the agent’s own words',
      {
        placements: [placement('r')],
        observation: observed({ replicas: [replica('r', 'Failed', { reason: "This cluster has no engine 'vllm'." })] }),
      },
      [
        [
          'replicas',
          "1 replica should serve here and does not: chat is Failed (This cluster has no engine 'vllm'.)",
          'atoll explain deployment chat',
        ],
      ],
    ],
    [
      'runs what it should not, and what is its own',
      {
        observation: observed({ replicas: [replica('x', 'Ready'), replica('y', 'Ready', { isLocal: true })] }),
      },
      [
        ['replicas', '1 replica still runs here and should not: chat (Ready)', null],
        ['replicas', 'its agent started 1 replica by itself, as local scaling lets it: chat', null],
      ],
    ],
    [
      'versions on their way',
      {
        desired: desired(12, [
          { modelName: 'tiny', number: 1, digest: 'a' },
          { modelName: 'tiny', number: 2, digest: 'b' },
          { modelName: 'tiny', number: 3, digest: 'c' },
        ]),
        observation: observed({
          versions: [held('a', 'Held'), held('b', 'Fetching', { bytesHave: 1, bytesTotal: 3 })],
        }),
      },
      [
        [
          'versions',
          '2 versions should be here whole and are not: tiny 2 is Fetching, 33 % here; tiny 3 is missing',
          'atoll model sync tiny 2',
        ],
      ],
    ],
    [
      'open conflicts, not resolved ones',
      { conflicts: [conflict('one is open', null), conflict('one is over', ago(1).toISOString())] },
      [['conflicts', 'both sides changed while they were apart: one is open', 'atoll cluster conflicts harbour']],
    ],
    [
      'cordoned',
      { cluster: cluster({ cordoned: true }) },
      [['cordon', 'harbour is cordoned: nothing new is placed here', 'atoll cluster uncordon harbour']],
    ],
  ])('%s', (_name, facts, want) => {
    const { findings, summary } = explain(facts);
    expect(findings.map(({ about, says, next }) => [about, says, next])).toEqual(want);
    expect(summary).toBe(want[0]?.[1] ?? 'harbour is Ready, and all is as wanted: 1 replica ready');
  });

  it('puts the gravest first, and names at most three of many', () => {
    const missing = ['a', 'b', 'c', 'd', 'e'].map((id) => placement(id));
    const { findings } = explain({ cluster: cluster({ cordoned: true }), placements: missing });
    expect(findings.map(({ about }) => about)).toEqual(['replicas', 'cordon']);
    expect(findings[0]!.says).toMatch(/^5 replicas should serve here and do not: .*; and 2 more$/);
  });

  it.each([
    [0, '0 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [7_200_000, '2 h'],
    [172_800_000, '2 d'],
    [-5, '0 s'],
  ])('%i ms is %s', (ms, want) => expect(age(ms)).toBe(want));
});
