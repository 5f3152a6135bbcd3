/** What may happen to the rows that deployments are planned from, one small change at a time, on a real database. */
import { Client } from 'pg';
import { v7 } from 'uuid';
import {
  type Cluster,
  DEFAULT_ROLLOUT_POLICY,
  type Deployment,
  type Job,
  type Node,
  type Observation,
  type ReplicaPhase,
  type Rows,
} from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { attemptOf, createTestDatabase, jobOf, type TestDatabase } from '#testing';
import { aCluster, aName, aPlacement, aReport, aVersion, CLAIM, insertDeployment, NOW } from './store.fixture.ts';

const CLUSTER_PHASES: readonly Cluster['phase'][] = ['Ready', 'Suspect', 'Unknown', 'Left', 'Ready'];
const REPLICA_PHASES: readonly ReplicaPhase[] = ['Starting', 'Ready', 'Failed'];

export class FleetRows {
  private constructor(
    readonly store: PostgresStore,
    private readonly database: TestDatabase,
  ) {}

  /** With two clusters, a deployment, a replica that is assigned and reported, and a job that runs. */
  static async start(): Promise<FleetRows> {
    const database = await createTestDatabase({ migrate });
    const fleet = new FleetRows(await openStore({ url: database.url, poolSize: 6 }), database);
    for (const change of ['join', 'join', 'deploy', 'place', 'report', 'startJob'] as const)
      await CHANGES[change](fleet, 0);
    return fleet;
  }

  async stop(): Promise<void> {
    await this.store.close();
    await this.database.drop();
  }

  get read(): Rows {
    return this.store.read;
  }

  async onSql(statement: string, values: readonly unknown[] = []): Promise<void> {
    const client = new Client({ connectionString: this.database.url });
    await client.connect();
    await client.query(statement, [...values]).finally(() => client.end());
  }
}

/** @param at says which of several */
export type FleetChange = (fleet: FleetRows, at: number) => Promise<unknown>;

/** A change of which there is nothing to change does nothing. */
export const CHANGES = {
  join: ({ store }, at) => store.transaction((rows) => rows.clusters.insert(aCluster({ region: `r${at % 2}` }))),
  moveCluster: (fleet, at) =>
    changeCluster(fleet, at, ({ phase }) => ({
      phase: pick(
        CLUSTER_PHASES.filter((each) => each !== phase),
        at,
      )!,
    })),
  bringBackByHand: (fleet) => fleet.onSql("UPDATE clusters SET phase = 'Ready' WHERE phase = 'Left'"),
  cordon: (fleet, at) => changeCluster(fleet, at, ({ cordoned }) => ({ cordoned: !cordoned })),
  report: (fleet, at) => report(fleet, at, (last) => ({ ...last.report, nodes: nodesOf(at) })),
  reportUse: (fleet, at) => report(fleet, at, (last) => ({ ...last.report, nodes: last.report.nodes.map(busyBy(at)) })),
  reportReplicas: async (fleet, at) => {
    const placements = await fleet.read.placements.live();
    await report(fleet, at, (last) => ({
      ...last.report,
      revision: at % 3,
      replicas: placements
        .filter(({ clusterId }) => clusterId === last.clusterId)
        .map(({ id, deploymentId }) => {
          const phase = pick(REPLICA_PHASES, at)!;
          return { replicaId: id, deploymentId, versionDigest: digestOf(at), phase, reason: '', restarts: at % 7 };
        }),
    }));
  },
  reportVersions: (fleet, at) =>
    report(fleet, at, (last) => ({
      ...last.report,
      versions: [{ digest: digestOf(at), phase: 'Held', bytesHave: 1, bytesTotal: 1, reason: '' }],
    })),
  deploy: ({ store }, at) => insertDeployment(store, { replicas: at % 4, selector: {} }),
  scale: (fleet, at) => changeDeployment(fleet, at, () => ({ replicas: at % 5 })),
  deleteDeployment: (fleet, at) => changeDeployment(fleet, at, () => ({ deletedAt: NOW })),
  dropDeployment: async (fleet, at) => {
    const over = pick(
      (await fleet.read.deployments.all()).filter(({ deletedAt }) => deletedAt !== null),
      at,
    );
    if (over === undefined) return;
    await fleet.store.transaction(async (rows) => {
      const live = await rows.placements.live({ deploymentId: over.id });
      await rows.placements.move(
        live.map(({ id }) => id),
        'Removed',
        'over',
      );
      await rows.deployments.remove(over.id);
    });
  },
  place: async (fleet, at) => {
    const deployment = pick(await fleet.read.deployments.all(), at);
    const cluster = pick(await fleet.read.clusters.all(), at);
    if (deployment === undefined || cluster === undefined) return;
    await fleet.store.transaction((rows) => rows.placements.insert([aPlacement(deployment, cluster.id)]));
  },
  drainReplica: (fleet, at) => movePlacement(fleet, at, 'Draining'),
  removeReplica: (fleet, at) => movePlacement(fleet, at, 'Removed'),
  rollOut: async (fleet, at) => {
    const deployment = pick(await fleet.read.deployments.all(), at);
    if (deployment === undefined || (await fleet.read.rollouts.active(deployment.id)).length > 0) return;
    await fleet.store.transaction(async (rows) => {
      const { id: toVersionId } = await rows.versions.insert(aVersion(deployment.modelId));
      await rows.rollouts.insert(rolloutOf(deployment, toVersionId));
    });
  },
  publish: async (fleet, at) => {
    const rollout = pick(await fleet.read.rollouts.active(), at);
    const version = rollout && (await fleet.read.versions.find({ id: rollout.toVersionId }));
    if (version?.phase !== 'Uploading') return;
    const digest = digestOf(at);
    const files = [{ path: 'model.gguf', digest, sizeBytes: 12 }];
    await fleet.store.transaction((rows) => rows.versions.publish(version.id, digest, files, null));
  },
  bringRolloutForward: async (fleet, at) => {
    const rollout = pick(await fleet.read.rollouts.active(), at);
    if (rollout === undefined) return;
    const change = at % 3 === 0 ? ({ phase: 'Completed' } as const) : { wave: rollout.wave + 1 };
    await fleet.store.transaction((rows) => rows.rollouts.update(rollout.id, { ...change, reason: `at ${at}` }));
  },
  startJob: async (fleet, at) => {
    const clusters = await fleet.read.clusters.all();
    if (clusters.length === 0) return;
    const job = jobOf({ id: v7(), name: aName('job'), phase: 'Running' });
    const ranks = [0, 1].slice(at % 2);
    const tasks = ranks.map((rank) => ({ rank, clusterId: pick(clusters, at + rank)!.id, devices: null }));
    await fleet.store.transaction(async (rows) => {
      await rows.jobs.insert([job]);
      await rows.attempts.insert([attemptOf(job, { id: v7(), tasks })]);
    });
  },
  bindJob: async (fleet, at) => {
    const attempt = pick(await fleet.read.attempts.live(), at);
    if (attempt === undefined) return;
    const devices = [{ node: 'n1', deviceIds: [`${at % 4}`] }];
    const tasks = attempt.tasks.map((task) => ({ ...task, devices }));
    await fleet.store.transaction((rows) => rows.attempts.update([{ id: attempt.id, change: { tasks } }]));
  },
  tellOfJob: (fleet, at) => changeAttempt(fleet, at, { phase: 'Running', reason: `at ${at}` }),
  endJob: (fleet, at) => changeAttempt(fleet, at, { phase: 'Ended', endedAt: NOW }),
  promise: async (fleet, at) => {
    const cluster = pick(await fleet.read.clusters.all(), at);
    if (cluster === undefined) return;
    const task = { rank: 0, clusterId: cluster.id, devices: [{ node: 'n1', deviceIds: [`${at % 4}`] }] };
    await changeJob(fleet, at, { nomination: { clusterId: cluster.id, tasks: [task], since: NOW } });
  },
  breakPromise: (fleet, at) => changeJob(fleet, at, { nomination: null }),
  strikeAttemptByHand: async (fleet, at) => {
    const attempt = pick(await fleet.read.attempts.live(), at);
    if (attempt !== undefined) await fleet.onSql('DELETE FROM attempts WHERE id = $1', [attempt.id]);
  },
  strikeReportByHand: async (fleet, at) => {
    const cluster = pick(await fleet.read.clusters.all(), at);
    if (cluster !== undefined) await fleet.onSql('DELETE FROM observations WHERE cluster_id = $1', [cluster.id]);
  },
  writeDocument: async (fleet, at) => {
    const cluster = pick(await fleet.read.clusters.all(), at);
    if (cluster === undefined) return;
    const version = { digest: digestOf(at), files: [] } as never;
    await fleet.store.transaction((rows) =>
      rows.desired.put(cluster.id, 0, { versions: [version], replicas: [], tasks: [] }),
    );
  },
  forget: async ({ store, read }) => {
    const { mark } = await read.changes.look(null);
    await store.transaction((rows) => rows.changes.forget(mark));
  },
} satisfies Readonly<Record<string, FleetChange>>;

export const CHANGE_NAMES = Object.keys(CHANGES) as (keyof typeof CHANGES)[];

function pick<Row>(rows: readonly Row[], at: number): Row | undefined {
  return rows[at % Math.max(1, rows.length)];
}

function digestOf(at: number): string {
  return at.toString(16).padStart(64, '0');
}

function nodesOf(at: number): Node[] {
  return Array.from({ length: 1 + (at % 2) }, (_, index) => ({
    name: `n${index + 1}`,
    devices: Array.from({ length: 1 + (at % 4) }, (_device, id) => ({
      id: `${id}`,
      deviceType: CLAIM.deviceType,
      memoryBytes: 1e9 + at,
    })),
  }));
}

function busyBy(at: number): (node: Node) => Node {
  return (node) => ({ ...node, devices: node.devices.map((device) => ({ ...device, utilisation: (at % 10) / 10 })) });
}

async function changeCluster(
  { store, read }: FleetRows,
  at: number,
  change: (cluster: Cluster) => Partial<Pick<Cluster, 'phase' | 'cordoned'>>,
): Promise<void> {
  const cluster = pick(await read.clusters.all(), at);
  if (cluster === undefined) return;
  await store.transaction((rows) => rows.clusters.update(cluster.id, cluster.revision, change(cluster)));
}

async function changeDeployment(
  { store, read }: FleetRows,
  at: number,
  change: (deployment: Deployment) => Partial<Pick<Deployment, 'replicas' | 'deletedAt'>>,
): Promise<void> {
  const deployment = pick(await read.deployments.all(), at);
  if (deployment === undefined) return;
  await store.transaction((rows) => rows.deployments.update(deployment.id, deployment.revision, change(deployment)));
}

async function movePlacement({ store, read }: FleetRows, at: number, to: 'Draining' | 'Removed'): Promise<void> {
  const placement = pick(await read.placements.live(), at);
  if (placement === undefined) return;
  await store.transaction((rows) => rows.placements.move([placement.id], to, `at ${at}`));
}

async function changeAttempt(
  { store, read }: FleetRows,
  at: number,
  change: Parameters<Rows['attempts']['update']>[0][number]['change'],
): Promise<void> {
  const attempt = pick(await read.attempts.live(), at);
  if (attempt === undefined) return;
  await store.transaction((rows) => rows.attempts.update([{ id: attempt.id, change }]));
}

async function changeJob({ store, read }: FleetRows, at: number, change: Pick<Job, 'nomination'>): Promise<void> {
  const job = pick(await read.jobs.active(), at);
  if (job === undefined) return;
  await store.transaction((rows) => rows.jobs.update([{ id: job.id, revision: job.revision, change }]));
}

async function report(
  { store, read }: FleetRows,
  at: number,
  next: (last: Observation) => Observation['report'],
): Promise<void> {
  const cluster = pick(await read.clusters.all(), at);
  if (cluster === undefined) return;
  const first = { clusterId: cluster.id, report: aReport(cluster.id), replacedBoots: [], receivedAt: NOW };
  const last = (await read.observations.find(cluster.id)) ?? first;
  await store.transaction((rows) => rows.observations.upsert({ ...last, report: next(last) }));
}

function rolloutOf({ id: deploymentId, tenantId, versionId: fromVersionId }: Deployment, toVersionId: string) {
  return {
    ...{ id: v7(), tenantId, deploymentId, fromVersionId, toVersionId, policy: DEFAULT_ROLLOUT_POLICY },
    ...{ phase: 'Progressing' as const, wave: -1, openClusterIds: [], isOpenToAll: false, isSwitched: false },
    ...{ waveSince: NOW, waveReadyAt: null, reason: '', startedAt: NOW, endedAt: null },
  };
}
