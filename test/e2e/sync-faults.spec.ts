/** A version travels to an edge whose agent is killed at random moments: real control plane, NATS, Postgres, processes. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AdminClient, VersionDto } from '#contracts';
import { eventually } from '#testing';
import { verifiedVersions } from '../../apps/agent/test/verified-versions.ts';
import { type ClusterPlan, QuickstartFleet } from '../../deploy/quickstart/fleet.ts';
import { Instance } from '../../deploy/quickstart/instance.ts';
import { joinClusters, MODEL, ownerClient, publishFolder, publishModel } from '../../deploy/quickstart/story.ts';
import { chosenKills } from './kills.fixture.ts';
import { MODELS } from './test-fleet.fixture.ts';

const EDGE: ClusterPlan = { name: 'edge-one', kind: 'edge', region: 'eu', labels: {} };
const { seed, rounds, soon } = chosenKills();
const silent = () => undefined;

describe(`an edge that is killed while it syncs (seed ${seed})`, () => {
  let instance: Instance;
  let fleet: QuickstartFleet;
  let admin: AdminClient;
  let first: VersionDto;

  beforeAll(async () => {
    instance = await Instance.at(await mkdtemp(join(tmpdir(), 'atoll-e2e-')));
    fleet = new QuickstartFleet(instance, { clusters: [EDGE] });
    await fleet.startPostgres({ mayBeGiven: false });
    await fleet.bootstrap();
    await fleet.startNats();
    await fleet.migrate();
    await fleet.startControlPlane();
    admin = await ownerClient(fleet.controlPlaneUrl, fleet.ownerKeyFile);
    await joinClusters(admin, fleet, silent);
    first = await publishModel(admin, silent);
    await admin.createDeployment({ name: MODEL, model: MODEL, version: 1, replicas: 1 });
    await serves();
  }, 180_000);

  afterAll(async () => {
    await fleet?.stop();
    await instance?.endLeftovers();
    if (process.env.ATOLL_TEST_KEEP === undefined) await rm(instance.directory, { recursive: true, force: true });
  }, 60_000);

  it(
    `invariant 5: at ${rounds} random moments of a diff's way, converges, and never shows a version that is not whole`,
    async () => {
      // Slow enough that the kills fall into the transfer.
      const bytesPerSecondMax = Math.ceil(first.sizeBytes / (rounds * 0.6));
      // By snapshot policy the edge does not ask for it yet: on a busy machine it would not wait for the diff for ever.
      await admin.updateCluster(EDGE.name, { sync: { bytesPerSecondMax, mode: 'snapshot' } });
      const { process: engine } = await engineOf();
      const second = await publishFolder(admin, join(MODELS, 'v2'), 'the next one', silent);
      await hasDiffTo(second);
      await admin.updateCluster(EDGE.name, { sync: { mode: 'incremental' } });
      let plansBefore = await plans();
      const isUnderWay = (version: VersionDto) =>
        eventually(
          async () => {
            const isHeld = (await verifiedVersions(stateFolder())).includes(version.digest!);
            if (!isHeld && (await plans()) <= plansBefore) throw new Error('it has no plan yet');
          },
          { timeoutMs: 60_000, intervalMs: 100 },
        );
      for (let round = 0; round < rounds; round += 1) {
        // Half of the kills come while the agent starts, the others once it carries out a plan, if it still has to.
        if (round % 2 === 1) await isUnderWay(second);
        await soon(2_000, () => fleet.processOf(EDGE.name)!.stop('SIGKILL'));
        expect(await verifiedVersions(stateFolder())).toContain(first.digest);
        plansBefore = await plans();
        await fleet.restart(EDGE.name);
      }
      await holds(second);
      expect(await verifiedVersions(stateFolder())).toEqual([first.digest!, second.digest!].sort());
      expect(await readFile(fleet.processOf(EDGE.name)!.logFile, 'utf8')).toContain('"path":"direct-diff"');
      // R5: version 1 was served all the time, by the same engine.
      await serves();
      expect((await engineOf()).process).toBe(engine);
    },
    300_000 + rounds * 15_000,
  );

  /** Plans that the agent began to carry out, in all its lives. */
  async function plans(): Promise<number> {
    const log = await readFile(fleet.processOf(EDGE.name)!.logFile, 'utf8');
    return log.split('"msg":"sync plan"').length - 1;
  }

  async function hasDiffTo(version: VersionDto): Promise<void> {
    await eventually(
      async () => {
        const artifacts = await admin.artifacts(MODEL);
        const diffs = artifacts.filter((artifact) => artifact.version === version.number && artifact.base !== null);
        if (!diffs.some(({ phase }) => phase === 'Ready')) throw new Error(`no diff yet: ${JSON.stringify(diffs)}`);
      },
      { timeoutMs: 120_000, intervalMs: 100 },
    );
  }

  const stateFolder = () => instance.path('agents', EDGE.name);

  async function holds(version: VersionDto): Promise<void> {
    await eventually(
      async () => {
        const { clusters, summary } = await admin.versionSync(MODEL, version.number);
        if (clusters.length !== 1 || clusters[0]!.state !== 'held')
          throw new Error(`${summary}: ${JSON.stringify(clusters)}`);
      },
      { timeoutMs: 120_000, intervalMs: 100 },
    );
  }

  async function serves(): Promise<void> {
    await eventually(
      async () => {
        const { readyReplicas, status } = await admin.deployment(MODEL);
        if (readyReplicas !== 1) throw new Error(status);
        await engineOf();
      },
      { timeoutMs: 120_000, intervalMs: 100 },
    );
  }

  async function engineOf() {
    const { observed } = await admin.cluster(EDGE.name);
    const replica = observed?.replicas.find(({ phase }) => phase === 'Ready');
    if (replica === undefined) throw new Error('no replica is Ready in what the agent says');
    expect(replica.versionDigest).toBe(first.digest);
    return { process: replica.processId };
  }
});
