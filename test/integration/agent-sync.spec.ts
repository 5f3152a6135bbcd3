// The built agent as a process, syncing by plans: killed at many moments, cut off, and told to wait.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type SyncPlanReply, type SyncPlanRequest } from '#contracts';
import type { DesiredReplica, DesiredVersion } from '#domain';
import { encodeDiff, MemorySink, memorySource } from '#modelsync';
import { modelFile, sha256 } from '../../apps/agent/test/planned-world.ts';
import { until as untilIn } from '../../apps/agent/test/temporary-folder.ts';
import { verifiedVersions } from '../../apps/agent/test/verified-versions.ts';
import { AgentWorld, buildAgent } from './agent-world.ts';

const REPLICA_ID = '01900000-0000-7000-8000-00000000b001';
const ARTIFACT_ID = '01900000-0000-7000-8000-00000000f001';
const until: typeof untilIn = (look, what, timeoutMs = 30_000) => untilIn(look, what, timeoutMs);
// Two files that have little in common, so that there is something to transfer.
const [first, second] = [modelFile(0, 200_000, 7), modelFile(0, 200_000, 9)];

describe('an agent that syncs by plans', () => {
  let world: AgentWorld;
  let v1: DesiredVersion;
  let v2: DesiredVersion;
  let diff: { digest: string; bytes: Buffer };
  let asked: SyncPlanRequest[];
  let answers: SyncPlanReply[];
  let bytesPerSecondMax: number | null;

  beforeAll(() => buildAgent(), 60_000);
  beforeEach(async () => {
    [asked, answers, bytesPerSecondMax] = [[], [], null];
    const sink = new MemorySink();
    await encodeDiff(memorySource(first), memorySource(second), sink);
    const bytes = Buffer.from(sink.content());
    diff = { digest: sha256(bytes), bytes };
    world = new AgentWorld();
    await world.start();
    world.blobs.set(diff.digest, bytes);
    v1 = world.publishVersion(1, first);
    v2 = world.publishVersion(2, second);
    world.want({ versions: [v1], replicas: [replicaOf(v1.digest)] });
    world.answerPlans((request) => {
      asked.push(request);
      return answers.shift() ?? plan(request);
    });
  }, 60_000);
  afterEach(() => world.stop(), 30_000);

  /** A diff when v1 is held, else whole files. */
  function plan({ versionDigest, held }: SyncPlanRequest): SyncPlanReply {
    const version = versionDigest === v2.digest ? v2 : v1;
    const file = version.files[0]!;
    const isDiff = version === v2 && held.includes(v1.digest);
    const whole = { encoding: 'whole', baseDigest: null, blobDigest: file.digest, blobBytes: file.sizeBytes } as const;
    const coded = {
      encoding: 'diff',
      baseDigest: v1.files[0]!.digest,
      blobDigest: diff.digest,
      blobBytes: diff.bytes.length,
    } as const;
    const { digest, sizeBytes } = file;
    return {
      decision: 'go',
      path: isDiff ? 'direct-diff' : 'whole-files',
      reason: 'the cheapest',
      wireBytes: isDiff ? coded.blobBytes : sizeBytes,
      seconds: 1,
      steps: [
        {
          artifactId: isDiff ? ARTIFACT_ID : null,
          from: isDiff ? v1.digest : null,
          to: versionDigest,
          profile: isDiff ? 'fast' : 'whole',
          source: world.registry,
          files: [{ digest, sizeBytes, ...(isDiff ? coded : whole) }],
        },
      ],
      bytesPerSecondMax,
      windowClosesInSeconds: null,
    };
  }

  const reportOf = (version: DesiredVersion) =>
    world.lastReport?.versions.find(({ digest }) => digest === version.digest);
  const holds = (version: DesiredVersion) =>
    until(
      () => reportOf(version)?.phase === 'Held',
      () => `version ${version.number} is held; log: ${world.log.slice(-3_000)}`,
      60_000,
    );
  const wantSecond = () => world.want({ versions: [v1, v2] });

  it('fetches the diff alone, makes the file on a thread of its own, and tells what it measured', async () => {
    await world.startAgent();
    await world.waitForReplica(REPLICA_ID, 'Ready');
    world.blobRequests.length = 0;
    wantSecond();
    await holds(v2);
    expect(world.blobRequests).toEqual([diff.digest]);
    expect(asked.at(-1)).toMatchObject({ held: [v1.digest], avoid: [], avoidNeighbours: [] });
    expect(reportOf(v2)).toMatchObject({ bytesHave: second.length, verifiedAt: expect.any(String) });
    expect(world.lastReport!.measures!.diskFreeBytes).toBeGreaterThan(0);
    expect(await verifiedVersions(world.stateFolder)).toEqual([v1.digest, v2.digest].sort());
    expect(await readdir(join(world.stateFolder, 'blobs', 'fetches'))).toEqual([]);
  }, 90_000);

  it('invariant 5: killed at many moments it always ends with the right bytes, and never shows a version that is not whole', async () => {
    await world.startAgent();
    const { processId } = await world.waitForReplica(REPLICA_ID, 'Ready');
    for (const list of [world.blobRequests, world.blobStarts]) list.length = 0;
    // About five seconds of transfer, so that most kills fall into it.
    bytesPerSecondMax = diff.bytes.length / 5;
    wantSecond();
    for (const ms of [700, 200, 900, 1_600, 1_100, 2_300, 1_400, 2_000]) {
      await world.killAgentAfter(ms);
      expect(await verifiedVersions(world.stateFolder)).toContain(v1.digest);
      await world.startAgent();
    }
    world.reports.length = 0;
    await holds(v2);
    expect(await verifiedVersions(world.stateFolder)).toEqual([v1.digest, v2.digest].sort());
    const path = join(world.stateFolder, 'versions', v2.digest, v2.files[0]!.path);
    expect((await readFile(path)).equals(second)).toBe(true);
    // What came once never came again: no whole file, and each request goes on where the last one ended.
    expect(new Set(world.blobRequests)).toEqual(new Set([diff.digest]));
    expect(world.blobStarts).toEqual([...world.blobStarts].sort((left, right) => left - right));
    // R5: the engine of version 1 never noticed.
    expect(await world.waitForReplica(REPLICA_ID, 'Ready')).toMatchObject({ processId, restarts: 0 });
  }, 180_000);

  it('waits as it is told, says so, and goes on when what is desired changes', async () => {
    await world.startAgent();
    await holds(v1);
    answers = [
      { decision: 'wait', reason: 'waits for neighbour edge-2, which fetches it (40 %)', retryAfterSeconds: 3_600 },
    ];
    wantSecond();
    await until(() => reportOf(v2)?.reason === 'waits for neighbour edge-2, which fetches it (40 %)', 'it waits');
    expect(reportOf(v2)).toMatchObject({ phase: 'Fetching', sync: { path: 'waiting' } });
    wantSecond();
    await holds(v2);
  }, 90_000);

  it('a desired version that is withdrawn in the middle leaves nothing', async () => {
    await world.startAgent();
    await holds(v1);
    bytesPerSecondMax = 10;
    wantSecond();
    await until(() => (reportOf(v2)?.sync?.wireBytesHave ?? 0) > 0, 'bytes have come');
    world.want({ versions: [v1] });
    await until(async () => (await readdir(join(world.stateFolder, 'blobs', 'fetches'))).length === 0, 'it is swept');
    await until(() => reportOf(v2) === undefined, 'it is reported no more');
    expect(await verifiedVersions(world.stateFolder)).toEqual([v1.digest]);
  }, 90_000);
});

function replicaOf(versionDigest: string): DesiredReplica {
  return {
    replicaId: REPLICA_ID,
    deploymentId: '01900000-0000-7000-8000-00000000d001',
    deploymentName: 'tiny',
    servedModel: 'tiny',
    versionDigest,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    epoch: 1,
    draining: false,
  };
}
