/** Rows for the durable bench: central clusters that have reported their nodes, and jobs that wait. */
import { v7 } from 'uuid';
import { type Cluster, DEFAULT_SYNC_POLICIES, DEFAULT_TENANT_ID, type Job, type Store } from '#domain';
import { jobOf, jobSpecOf } from '#testing';
import { clusterOf, GPU, PLAIN_SHAPE } from './world.ts';

/** Several clusters, because the document of one holds only so many tasks. */
const NODES_PER_CLUSTER = 50;
/** Rows in one statement. */
const INSERT_MAX = 1_000;

export async function insertFleet(store: Store, nodes: number): Promise<void> {
  const now = new Date();
  for (let first = 0; first < nodes; first += NODES_PER_CLUSTER) {
    const count = Math.min(NODES_PER_CLUSTER, nodes - first);
    const cluster = centralCluster(`bench-${first / NODES_PER_CLUSTER}`, now);
    const made = clusterOf({ nodes: count, ...PLAIN_SHAPE });
    await store.transaction(async (rows) => {
      await rows.clusters.insert(cluster);
      await rows.observations.upsert({
        clusterId: cluster.id,
        receivedAt: now,
        replacedBoots: [],
        report: {
          clusterId: cluster.id,
          bootId: v7(),
          sequence: 1,
          epoch: 0,
          revision: 0,
          agentVersion: 'bench',
          nodes: made.nodes,
          replicas: [],
          versions: [],
        },
      });
    });
  }
}

function centralCluster(name: string, now: Date): Cluster {
  return {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name,
    kind: 'central',
    region: 'bench',
    zone: '',
    labels: {},
    sync: DEFAULT_SYNC_POLICIES.central,
    publicKey: `U-${name}`,
    phase: 'Ready',
    cordoned: false,
    drain: null,
    ahead: null,
    phaseSince: now,
    createdAt: now,
    revision: 1,
  };
}

export async function insertJobs(store: Store, count: number, sketch: (index: number) => Partial<Job> = () => ({})) {
  for (let first = 0; first < count; first += INSERT_MAX) {
    const length = Math.min(INSERT_MAX, count - first);
    const jobs = Array.from({ length }, (_, at) => waitingJob(sketch(first + at)));
    await store.transaction((rows) => rows.jobs.insert(jobs));
  }
}

export function claimOf(count: number) {
  return { deviceType: GPU, count, schedulingPolicy: { topologyScope: 'node' } } as const;
}

export function waitingJob(change: Partial<Job>): Job {
  const id = v7();
  return jobOf({ id, name: `job-${id.slice(-12)}`, spec: jobSpecOf({ claim: claimOf(1) }), ...change });
}
