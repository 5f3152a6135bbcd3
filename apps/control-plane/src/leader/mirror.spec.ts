import { describe, expect, it } from '@jest/globals';
import { type Cluster, DEFAULT_SYNC_POLICIES, type ModelVersion, type Placement } from '#domain';
import { mirroredVersions } from './mirror.ts';

const MIDNIGHT = Date.parse('2026-03-10T00:00:00Z');
const at = (hours: number) => new Date(MIDNIGHT + hours * 3_600_000);
const NOW = at(12);

const cluster = (change: Partial<Cluster> = {}) =>
  ({ phase: 'Ready', cordoned: false, sync: DEFAULT_SYNC_POLICIES.edge, ...change }) as Cluster;
/** `m1v2` is version 2 of model m1. */
function version(id: string, change: Partial<ModelVersion> = {}): ModelVersion {
  const [, modelId, number] = /^(m\d+)v(\d+)$/.exec(id)!;
  return { id, modelId, number: Number(number), phase: 'Published', publishedAt: at(0), ...change } as ModelVersion;
}
const placement = (versionId: string, phase: Placement['phase'] = 'Assigned') => ({ versionId, phase });
/** Fires at 02:00 UTC. */
const snapshot = { sync: DEFAULT_SYNC_POLICIES.central };

interface Case {
  name: string;
  cluster?: Partial<Cluster>;
  placements?: ReturnType<typeof placement>[];
  versions?: ModelVersion[];
  now?: Date;
  want: string[];
}

const ALL = [version('m1v1'), version('m1v2'), version('m1v3')];

const cases: Case[] = [
  { name: 'the newest of a model that is served', want: ['m1v3'] },
  { name: 'the newest, though it is what is served', placements: [placement('m1v3')], want: ['m1v3'] },
  {
    name: 'the newest of each model',
    placements: [placement('m2v1'), placement('m1v1')],
    versions: [...ALL, version('m2v1'), version('m2v2')],
    want: ['m1v3', 'm2v2'],
  },
  { name: 'nothing where nothing is placed', placements: [], want: [] },
  { name: 'nothing of a model that only drains', placements: [placement('m1v1', 'Draining')], want: [] },
  {
    name: 'nothing that is retired, abandoned or still uploaded',
    versions: [
      version('m1v1'),
      version('m1v2', { phase: 'Retired' }),
      version('m1v3', { phase: 'Abandoned' }),
      version('m1v4', { phase: 'Uploading', publishedAt: null }),
    ],
    want: ['m1v1'],
  },
  { name: 'R1 as before in a cluster out of contact', cluster: { phase: 'Unknown' }, want: ['m1v3'] },
  { name: 'nothing to one that waits for approval', cluster: { phase: 'PendingApproval' }, want: [] },
  { name: 'nothing to one that has left', cluster: { phase: 'Left' }, want: [] },
  { name: 'nothing to one that drains', cluster: { phase: 'Draining' }, want: [] },
  { name: 'nothing to one that is cordoned', cluster: { cordoned: true }, want: [] },
  {
    name: 'by snapshot policy: not before the cron fired since it was published, and until then the one before',
    cluster: snapshot,
    versions: [version('m1v1'), version('m1v2', { publishedAt: at(3) })],
    want: ['m1v1'],
  },
  {
    name: 'by snapshot policy: once the cron fired',
    cluster: snapshot,
    versions: [version('m1v1'), version('m1v2', { publishedAt: at(3) })],
    now: at(26),
    want: ['m1v2'],
  },
  {
    name: 'by snapshot policy: the cron fires in its own time zone',
    cluster: { sync: { ...snapshot.sync, timeZone: 'Asia/Shanghai' } },
    versions: [version('m1v1', { publishedAt: at(17) })],
    now: at(18),
    want: ['m1v1'],
  },
  {
    name: 'by snapshot policy: nothing before the first fire',
    cluster: snapshot,
    versions: [version('m1v1', { publishedAt: at(3) })],
    want: [],
  },
];

describe('a cluster mirrors', () => {
  it.each(cases)('$name', ({ cluster: change, placements = [placement('m1v1')], versions = ALL, now = NOW, want }) => {
    expect(mirroredVersions(cluster(change), placements, versions.toReversed(), now)).toEqual(want);
  });
});
