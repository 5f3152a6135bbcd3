/**
 * Answers an agent that asks how to get a version: from Postgres, by the pure `planForCluster`, at once. It decides when
 * (windows, the claim of a site group, a diff worth waiting for), from where, and signs the right to it.
 *
 * Nothing is remembered but the group's claim and that a diff is wanted, so any control plane may answer, and an answer
 * that is lost, repeated or late costs time only.
 */
import { Injectable } from '@nestjs/common';
import type { SyncPlanReply, SyncPlanRequest, SyncStepMessage } from '#contracts';
import { type Cluster, type DesiredVersion, isMember, type ModelVersion, Store, windowState } from '#domain';
import { BlobTokens } from '../blobs/blob-tokens.ts';
import { judgeDiff } from './judge-diff.ts';
import { type ClusterPlan, type ClusterQuestion, type PlannedStep, planForCluster } from './plan-for-cluster.ts';
import { claimFetch, releaseFetch } from './site-claims.ts';
import { chooseNeighbour, type Member, progressOf, readNeighbours } from './site-group.ts';
import { WallClock } from './wall-clock.ts';

/** A changed policy counts within this time, however far away the window is. */
const WINDOW_RETRY_SECONDS_MAX = 60;
/** Each of a group reads all the others: so many of it ask in a second, and the others later. */
const NEIGHBOURS_ASKING_PER_SECOND = 20;
const NEIGHBOUR_RETRY_SECONDS_MAX = 10;
/** `usedAt` of artifacts need not be newer than this. */
const USED_MS = 3_600_000;

/** What is not answered: who may not ask at all, or not for this version; and a version that nobody can give. */
export type PlanRefusal = 'not-a-member' | 'not-wanted' | 'no-way';

interface Asked {
  readonly cluster: Cluster;
  readonly version: DesiredVersion;
  /** Of the other versions in the document. */
  readonly others: readonly DesiredVersion[];
}

@Injectable()
export class SyncPlans {
  /** Model id → the read under way. */
  private readonly reading = new Map<string, Promise<Pick<ClusterQuestion, 'versions' | 'artifacts'>>>();

  constructor(
    private readonly store: Store,
    private readonly tokens: BlobTokens,
    private readonly clock: WallClock,
  ) {}

  /** @param clusterId as NATS says who asks */
  async answer(clusterId: string, request: SyncPlanRequest): Promise<SyncPlanReply | PlanRefusal> {
    // 1. Who asks, and may it have this version?
    const asked = await this.readAsked(clusterId, request.versionDigest);
    if (typeof asked === 'string') return asked;
    const { cluster, version } = asked;

    // 2. Is it time?
    const now = this.clock.now();
    const window = windowState(cluster.sync, now);
    if (!window.isOpen) {
      await releaseFetch(this.store, cluster, version.digest);
      const opensIn = window.changesInSeconds ?? WINDOW_RETRY_SECONDS_MAX;
      return wait(`waits for the window ${window.words}`, Math.min(opensIn, WINDOW_RETRY_SECONDS_MAX));
    }

    // 3. The cheapest way.
    const members = await readNeighbours(this.store.read, cluster);
    const question = await this.readQuestion(asked, request, members);
    if (question === null) return 'not-wanted';
    const plan = planForCluster(question);

    // 4. Is a better one worth waiting for?
    const waiting = await this.wantDiff(cluster, question, plan, now);
    if (waiting !== null) return waiting;
    if (plan.path === 'impossible') return 'no-way';

    // 5. Is it this cluster's turn at the registry?
    const holder = plan.registryBytes === 0 ? null : await this.claim(cluster, version.digest, members);
    if (holder !== null) return waitFor(holder, version.digest, members.length);

    // 6. Go.
    await this.touch(question, plan);
    return {
      decision: 'go',
      path: plan.path,
      reason: plan.reason.slice(0, 2_000),
      wireBytes: plan.wireBytes,
      seconds: plan.seconds,
      steps: await this.sign(cluster, version.digest, plan),
      bytesPerSecondMax: cluster.sync.bytesPerSecondMax,
      windowClosesInSeconds: window.changesInSeconds,
    };
  }

  private async readAsked(clusterId: string, versionDigest: string): Promise<Asked | PlanRefusal> {
    const cluster = await this.store.read.clusters.find({ id: clusterId });
    if (cluster === null || !isMember(cluster.phase)) return 'not-a-member';
    const { versions = [] } = (await this.store.read.desired.find(clusterId)) ?? {};
    const version = versions.find(({ digest }) => digest === versionDigest);
    if (version === undefined) return 'not-wanted';
    return { cluster, version, others: versions.filter((other) => other !== version) };
  }

  /** Null when the version is gone since the document was written. */
  private async readQuestion(
    { cluster, version: { versionId, digest }, others }: Asked,
    request: SyncPlanRequest,
    members: readonly Member[],
  ): Promise<ClusterQuestion | null> {
    const { read } = this.store;
    const version = await read.versions.find({ id: versionId });
    if (version === null) return null;
    const { versions, artifacts } = await this.readModel(version.modelId);
    const heldOfOthers = others.filter((other) => request.held.includes(other.digest));
    return {
      cluster,
      version: { ...version, digest },
      versions,
      artifacts,
      neighbour: chooseNeighbour(cluster.id, members, digest, request.avoidNeighbours),
      held: request.held,
      filesHeld: heldOfOthers.flatMap(({ files }) => files.map((file) => file.digest)),
      avoid: request.avoid,
      measures: request.measures,
    };
  }

  /** All that hold a model ask at once when a version of it is published: who asks during a read waits for that one. */
  private readModel(modelId: string): Promise<Pick<ClusterQuestion, 'versions' | 'artifacts'>> {
    const known = this.reading.get(modelId);
    if (known !== undefined) return known;
    const { read } = this.store;
    const reading = Promise.all([read.versions.listOfModel(modelId), read.artifacts.ofModel(modelId)])
      .then(([versions, artifacts]) => ({ versions, artifacts }))
      .finally(() => this.reading.delete(modelId));
    this.reading.set(modelId, reading);
    return reading;
  }

  private async wantDiff(
    { tenantId }: Cluster,
    question: ClusterQuestion,
    plan: ReturnType<typeof planForCluster>,
    now: Date,
  ): Promise<SyncPlanReply | null> {
    const { want, waitFor: awaited } = judgeDiff(question, plan, now);
    if (want !== null) {
      const { modelId } = byId(question.versions, question.version.id);
      const wanted = { tenantId, modelId, versionId: question.version.id, ...want };
      await this.store.transaction((rows) => rows.artifacts.want(wanted));
    }
    if (awaited === null) return null;
    const { number } = byId(question.versions, awaited.baseVersionId);
    return wait(`waits for the diff from version ${number}, which is being made`, awaited.retryAfterSeconds);
  }

  private claim(cluster: Cluster, versionDigest: string, members: readonly Member[]): Promise<Member | null> {
    return claimFetch(this.store, { cluster, versionDigest, members });
  }

  /** Retention keeps what plans use. */
  private async touch({ artifacts }: ClusterQuestion, { steps }: ClusterPlan): Promise<void> {
    const before = Date.now() - USED_MS;
    const used = steps.map(({ artifactId }) => artifacts.find(({ id }) => id === artifactId));
    const ids = used.flatMap((artifact) =>
      artifact !== undefined && artifact.usedAt.getTime() < before ? [artifact.id] : [],
    );
    if (ids.length > 0) await this.store.transaction((rows) => rows.artifacts.touch(ids));
  }

  private async sign(cluster: Cluster, versionDigest: string, plan: ClusterPlan): Promise<SyncStepMessage[]> {
    const artifactIds = plan.steps.flatMap(({ artifactId }) => (artifactId === null ? [] : [artifactId]));
    const registry = await this.tokens.issueForPlan(cluster.id, versionDigest, artifactIds);
    const sourceOf = async ({ neighbour, to }: PlannedStep): Promise<SyncStepMessage['source']> => {
      if (neighbour === null) return { kind: 'registry', name: 'registry', url: registry.url, token: registry.token };
      const token = await this.tokens.issueForNeighbour(cluster.id, neighbour.clusterId, [to]);
      return { kind: 'neighbour', name: neighbour.name, url: neighbour.url, token };
    };
    return Promise.all(
      plan.steps.map(async (step) => {
        const { artifactId, from, to, profile, files } = step;
        return { artifactId, from, to, profile, source: await sourceOf(step), files: [...files] };
      }),
    );
  }
}

function byId(versions: readonly ModelVersion[], id: string): ModelVersion {
  return versions.find((version) => version.id === id)!;
}

function waitFor(holder: Member, versionDigest: string, neighbours: number): SyncPlanReply {
  const { have, of } = progressOf(holder, versionDigest);
  const retryAfterSeconds = clamp(neighbours / NEIGHBOURS_ASKING_PER_SECOND, 1, NEIGHBOUR_RETRY_SECONDS_MAX);
  const percent = of > 0 ? ` (${Math.floor((100 * Math.min(have, of)) / of)} %)` : '';
  return wait(`waits for neighbour ${holder.cluster.name}, which fetches it${percent}`, retryAfterSeconds);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

function wait(reason: string, retryAfterSeconds: number): SyncPlanReply {
  return { decision: 'wait', reason: reason.slice(0, 500), retryAfterSeconds: Math.max(0.1, retryAfterSeconds) };
}
