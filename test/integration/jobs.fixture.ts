/**
 * The leader's side of jobs on a real database, and clusters that only say what a spec lets them say: no NATS, no agents,
 * no clock but the spec's. Each world has a database of its own.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { Client } from 'pg';
import { v7 } from 'uuid';
import {
  type Attempt,
  type Cluster,
  type DesiredTask,
  type Job,
  manifestText,
  type Node,
  type ResourceClaim,
  type TaskReport,
  type VersionFile,
} from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, jobOf, jobSpecOf } from '#testing';
import { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { writeOwedDocuments } from '../../apps/control-plane/src/jobs/documents-loop.ts';
import { JobLoop } from '../../apps/control-plane/src/jobs/job-loop.ts';
import { JobMetrics } from '../../apps/control-plane/src/jobs/job-metrics.ts';
import { OutputPublisher } from '../../apps/control-plane/src/jobs/publish-output.ts';
import type { ServingWant } from '../../apps/control-plane/src/leader/serving-wants.ts';
import { aCluster, aName, aReport } from './store.fixture.ts';

Logger.overrideLogger(false);

export const GPU: ResourceClaim = {
  deviceType: 'nvidia.com/gpu',
  count: 1,
  schedulingPolicy: { topologyScope: 'node' },
};

export const gpus = (count: number): ResourceClaim => ({ ...GPU, count });

/** The priority of the class that a name means. */
const PRIORITY = { low: 2, normal: 5, high: 8, critical: 10 } as const;

export interface JobSketch extends Partial<Omit<Job, 'spec'>> {
  readonly class?: keyof typeof PRIORITY;
  /** Of each member. Default 1. */
  readonly devices?: number;
  readonly spec?: Parameters<typeof jobSpecOf>[0];
}

export class JobsWorld {
  nowMs = Date.parse('2026-03-01T00:00:00Z');
  epoch = 0;
  serving: readonly ServingWant[] = [];
  readonly started: Cluster[] = [];
  leader: JobLoop;

  private constructor(
    readonly store: PostgresStore,
    readonly blobs: BlobStore,
    private readonly database: Awaited<ReturnType<typeof createTestDatabase>>,
    private readonly directory: string,
  ) {
    this.leader = this.lead();
  }

  static async start(): Promise<JobsWorld> {
    const database = await createTestDatabase({ migrate });
    const store = await openStore({ url: database.url, poolSize: 5 });
    const directory = await mkdtemp(join(tmpdir(), 'atoll-jobs-'));
    return new JobsWorld(store, await BlobStore.open(join(directory, 'blobs')), database, directory);
  }

  get databaseUrl(): string {
    return this.database.url;
  }

  async stop(): Promise<void> {
    await this.store.close();
    await this.database.drop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** A leader of this epoch, with an empty memory. */
  lead(): JobLoop {
    this.leader = new JobLoop({
      store: this.store,
      epoch: this.epoch,
      publisher: new OutputPublisher(this.blobs, { pickleAllowed: false }),
      metrics: new JobMetrics(),
      serving: () => this.serving,
      clock: { nowMs: () => this.nowMs },
    });
    return this.leader;
  }

  /** Another process wins the lease: from here on the epoch of this world's leader is over. */
  async loseLease(): Promise<void> {
    const client = new Client({ connectionString: this.database.url });
    await client.connect();
    await client.query('UPDATE leader SET epoch = epoch + 1');
    await client.end();
  }

  /** One cycle of the leader, and the documents that it leaves owed. */
  async cycle(): Promise<void> {
    const { signal } = new AbortController();
    await this.leader.run(signal);
    await writeOwedDocuments(this.store, this.epoch, signal);
  }

  pass(seconds: number): void {
    this.nowMs += seconds * 1_000;
  }

  /** A central cluster of nodes `n1`, `n2` … with GPUs `0`, `1` … each, which has reported. */
  async cluster(nodes = 1, devices = 8, change: Partial<Cluster> = {}): Promise<FakeCluster> {
    const cluster = aCluster({ kind: 'central', ...change });
    await this.store.transaction((rows) => rows.clusters.insert(cluster));
    const fake = new FakeCluster(this, cluster, gpuNodes(nodes, devices));
    await fake.report();
    return fake;
  }

  async submit(sketch: JobSketch = {}): Promise<Job> {
    const job = this.wish(sketch);
    await this.store.transaction((rows) => rows.jobs.insert([job]));
    return job;
  }

  /** A job that is in no row. */
  wish(sketch: JobSketch = {}): Job {
    const { class: priorityClass = 'normal', devices = 1, spec, ...change } = sketch;
    return jobOf({
      id: v7(),
      name: aName('job'),
      priorityClass,
      priority: PRIORITY[priorityClass],
      preemption: priorityClass === 'low' ? 'never' : 'lower-priority',
      preemptible: priorityClass !== 'critical',
      queuedAt: new Date(this.nowMs),
      createdAt: new Date(this.nowMs),
      ...change,
      spec: jobSpecOf({
        claim: gpus(devices),
        checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
        ...spec,
      }),
    });
  }

  async job({ id }: Pick<Job, 'id'>): Promise<Job> {
    return (await this.store.read.jobs.find({ id }))!;
  }

  /** Newest first. */
  attempts({ id }: Pick<Job, 'id'>): Promise<Attempt[]> {
    return this.store.read.attempts.ofJob(id);
  }

  async newest(job: Pick<Job, 'id'>): Promise<Attempt> {
    return (await this.attempts(job))[0]!;
  }

  /** Oldest first. */
  async events({ id }: Pick<Job, 'id'>): Promise<string[]> {
    const events = await this.store.read.jobEvents.list(id, { after: null, limit: 200 });
    return events.map(({ kind }) => kind).reverse();
  }

  async change({ id }: Pick<Job, 'id'>, change: Partial<Pick<Job, 'suspended' | 'cancelRequestedAt'>>): Promise<void> {
    await this.store.transaction(async (rows) => {
      const job = (await rows.jobs.find({ id }, true))!;
      await rows.jobs.update([{ id, revision: job.revision, change }]);
    });
  }

  async moveCluster(
    { cluster }: FakeCluster,
    change: Partial<Pick<Cluster, 'phase' | 'cordoned' | 'drain'>>,
  ): Promise<void> {
    await this.store.transaction(async (rows) => {
      const { id, revision } = (await rows.clusters.find({ id: cluster.id }, true))!;
      await rows.clusters.update(id, revision, change);
    });
  }

  /** Puts files and their manifest into the blob store. @returns the manifest's digest */
  async keep(contents: Readonly<Record<string, string | Buffer>>): Promise<string> {
    const files: VersionFile[] = [];
    for (const [path, content] of Object.entries(contents)) {
      const bytes = Buffer.from(content);
      files.push({ path, digest: await this.putBlob(bytes), sizeBytes: bytes.length });
    }
    return this.putBlob(Buffer.from(manifestText(files)));
  }

  private async putBlob(bytes: Buffer): Promise<string> {
    const digest = createHash('sha256').update(bytes).digest('hex');
    await mkdir(join(this.directory, 'staged'), { recursive: true });
    const staged = join(this.directory, 'staged', digest);
    await writeFile(staged, bytes);
    await this.blobs.adopt(staged, digest);
    return digest;
  }
}

function gpuNodes(nodes: number, devices: number): Node[] {
  return Array.from({ length: nodes }, (_, index) => ({
    name: `n${index + 1}`,
    devices: Array.from({ length: devices }, (_device, at) => ({
      id: `${at}`,
      deviceType: 'nvidia.com/gpu',
      memoryBytes: 80e9,
    })),
  }));
}

/** What a member says of itself; null: nothing, as if it were not known. */
export type Saying = Partial<TaskReport> | null;

export class FakeCluster {
  nodes: readonly Node[];
  private sequence = 0;
  private readonly bootId = v7();
  /** Task id → what was last said of it. */
  private readonly said = new Map<string, Saying>();

  constructor(
    private readonly world: JobsWorld,
    readonly cluster: Cluster,
    nodes: readonly Node[],
  ) {
    this.nodes = nodes;
  }

  get id(): string {
    return this.cluster.id;
  }

  async tasks(): Promise<readonly DesiredTask[]> {
    return (await this.world.store.read.desired.find(this.id))?.tasks ?? [];
  }

  async taskOf({ id }: Pick<Job, 'id'>, rank = 0): Promise<DesiredTask | undefined> {
    return (await this.tasks()).find((task) => task.jobId === id && task.rank === rank);
  }

  /** Applies its newest document and reports: what is said of this job's members is remembered. */
  async say(job: Pick<Job, 'id'>, saying: Saying, ranks?: readonly number[]): Promise<void> {
    for (const { taskId, jobId, rank } of await this.tasks()) {
      if (jobId === job.id && (ranks?.includes(rank) ?? true)) this.said.set(taskId, saying);
    }
    await this.report();
  }

  async report(): Promise<void> {
    const { store, nowMs } = this.world;
    const document = await store.read.desired.find(this.id);
    this.sequence += 1;
    const report = aReport(this.id, {
      bootId: this.bootId,
      sequence: this.sequence,
      revision: document?.revision ?? 0,
      nodes: [...this.nodes],
      tasks: (document?.tasks ?? []).flatMap((task) => this.reportOf(task)),
    });
    await store.transaction((rows) =>
      rows.observations.upsert({
        clusterId: this.id,
        report,
        replacedBoots: [],
        receivedAt: new Date(nowMs + this.sequence),
      }),
    );
  }

  private reportOf({ taskId, attemptId, jobId, rank, epoch }: DesiredTask): TaskReport[] {
    const saying = this.said.get(taskId);
    if (saying === null) return [];
    return [{ taskId, attemptId, jobId, rank, epoch, phase: 'Pending', reason: '', ranSeconds: 0, ...saying }];
  }
}
