/** Neighbours: five real agents of one site take a version from the origin once and the rest from each other. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AdminClient, VersionDto } from '#contracts';
import { eventually } from '#testing';
import { type ClusterPlan, QuickstartFleet } from '../../deploy/quickstart/fleet.ts';
import { Instance } from '../../deploy/quickstart/instance.ts';
import { joinClusters, MODEL, ownerClient, publishFolder, publishModel } from '../../deploy/quickstart/story.ts';
import { MODELS } from './test-fleet.fixture.ts';

const AGENTS = 5;
/** Of what the origin sends to a group, per version. */
const ORIGIN_SHARE_MAX = 1.1;

const plans = Array.from(
  { length: AGENTS },
  (_, index): ClusterPlan => ({
    name: `shop-${index + 1}`,
    kind: 'edge',
    region: 'eu',
    labels: { 'site-group': 'mall' },
  }),
);

/** Room for one replica: so each cluster gets one. */
const NODE = { name: 'till', devices: [{ id: 'cpu-0', deviceType: 'cpu', memoryBytes: 1_000_000_000 }] };

const silent = () => undefined;

describe('a site group', () => {
  let instance: Instance;
  let fleet: QuickstartFleet;
  let admin: AdminClient;

  beforeAll(async () => {
    instance = await Instance.at(await mkdtemp(join(tmpdir(), 'atoll-e2e-')));
    fleet = new QuickstartFleet(instance, {
      clusters: plans,
      adjust: (name, configuration) =>
        name.startsWith('shop-')
          ? { ...configuration, neighbours: { listen: { host: '127.0.0.1', port: 0 } }, inventory: { nodes: [NODE] } }
          : configuration,
    });
    await fleet.startPostgres({ mayBeGiven: false });
    await fleet.bootstrap();
    await fleet.startNats();
    await fleet.migrate();
    await fleet.startControlPlane();
    admin = await ownerClient(fleet.controlPlaneUrl, fleet.ownerKeyFile);
    await joinClusters(admin, fleet, silent);
  }, 180_000);

  afterAll(async () => {
    await fleet?.stop();
    await instance?.endLeftovers();
    if (process.env.ATOLL_TEST_KEEP === undefined) await rm(instance.directory, { recursive: true, force: true });
  }, 60_000);

  it('of five costs the origin at most 1.1 versions, for a first version and for the next one', async () => {
    const first = await publishModel(admin, silent);
    await admin.createDeployment({ name: MODEL, model: MODEL, version: 1, replicas: AGENTS });
    await heldEverywhere(first);
    const sentFirst = await bytesFromOrigin();
    expect(sentFirst / first.sizeBytes).toBeLessThanOrEqual(ORIGIN_SHARE_MAX);

    const next = await publishFolder(admin, join(MODELS, 'v2'), 'the next one', silent);
    await heldEverywhere(next);
    expect(((await bytesFromOrigin()) - sentFirst) / next.sizeBytes).toBeLessThanOrEqual(ORIGIN_SHARE_MAX);

    const agreement = await admin.agreement(MODEL);
    const digests = agreement.clusters.map(({ held }) => held.filter(({ phase }) => phase === 'Held').length);
    expect(digests).toEqual(plans.map(() => 2));
  }, 240_000);

  async function heldEverywhere(version: VersionDto): Promise<void> {
    await eventually(
      async () => {
        const { clusters, summary } = await admin.versionSync(MODEL, version.number);
        if (clusters.length !== AGENTS || clusters.some(({ state }) => state !== 'held')) throw new Error(summary);
      },
      { timeoutMs: 90_000, intervalMs: 100 },
    );
  }

  async function bytesFromOrigin(): Promise<number> {
    const key = (await readFile(fleet.ownerKeyFile, 'utf8')).trim();
    const answer = await fetch(`${fleet.controlPlaneUrl}/metrics`, { headers: { authorization: `Bearer ${key}` } });
    const line = /^atoll_blob_bytes_served_total(?:\{[^}]*\})? (\S+)$/m.exec(await answer.text());
    if (line === null) throw new Error('the control plane counts no blob bytes');
    return Number(line[1]);
  }
});
