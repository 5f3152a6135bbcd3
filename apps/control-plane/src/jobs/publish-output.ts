/**
 * What attempts leave in the blob store. The output of a job that asks for it becomes the next version of a model, in the
 * transaction in which the job succeeds: a crash leaves neither or both, and nothing is published twice. Content that the
 * registry refuses leaves the job Succeeded, with an event that says why; its artifacts are there all the same.
 */
import { v7 as uuidv7 } from 'uuid';
import {
  type Job,
  type JobFacts,
  type JobStep,
  type Model,
  type ModelVersion,
  RefusedError,
  type Rows,
  refuse,
  type StepEvent,
  type Store,
  type VersionFile,
} from '#domain';
import { wantParentDiffs } from '../artifacts/want.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type ContentRules, contentProblem } from '../blobs/content-rules.ts';
import { followAlias } from '../deployments/follow-alias.ts';
import { fileProblems } from '../models/file-list.ts';
import { type SettledJob, settleIn, settleJobs } from './settle-jobs.ts';
import { blobsOf, readManifest, readWholeManifest } from './stored-manifests.ts';

const ACTOR = 'controller:jobs';
/** The mount that a fine-tune begins from. */
const BASE = 'base';
/** Manifests that were found whole; what is noted by a job stays so. */
const WHOLE_MAX = 10_000;

export class OutputPublisher {
  private readonly whole = new Set<string>();

  constructor(
    private readonly blobs: BlobStore,
    private readonly rules: ContentRules,
  ) {}

  /** Whether a manifest and every file that it lists are here; `isLookedUp`: whatever was found before. */
  async has(manifestDigest: string, isLookedUp = false): Promise<boolean> {
    if (!isLookedUp && this.whole.has(manifestDigest)) return true;
    this.whole.delete(manifestDigest);
    if ((await readWholeManifest(this.blobs, manifestDigest)) === null) return false;
    if (this.whole.size >= WHOLE_MAX) this.whole.clear();
    this.whole.add(manifestDigest);
    return true;
  }

  /** The step with the blobs that must be kept for it. */
  async withBlobs(facts: JobFacts, step: JobStep): Promise<SettledJob> {
    const { outputDigest = null, checkpoint = null } = step.job;
    const isNew = checkpoint !== null && checkpoint.manifestDigest !== facts.job.checkpoint?.manifestDigest;
    return {
      facts,
      step,
      outputBlobs: outputDigest === null ? null : await this.blobsOf(outputDigest),
      checkpointBlobs: isNew ? await this.blobsOf(checkpoint.manifestDigest) : [],
    };
  }

  mustPublish({ facts, step }: SettledJob): boolean {
    return step.job.phase === 'Succeeded' && facts.job.spec.output.publish !== null;
  }

  /** Settles one job that is to be published. @returns it, or nothing when the job has changed meanwhile */
  async settle(store: Store, epoch: number, settled: SettledJob): Promise<SettledJob[]> {
    const digest = settled.step.job.outputDigest ?? null;
    const files = digest === null ? null : await readWholeManifest(this.blobs, digest);
    if (digest === null || files === null) return settleRefused(store, epoch, settled, 'it left no output');
    const problem = await this.problemOf(files);
    if (problem !== null) return settleRefused(store, epoch, settled, problem);
    try {
      return await store.transaction((rows) => settlePublished(rows, settled, digest, files), { epoch });
    } catch (error) {
      // The model or its alias went meanwhile. The job has succeeded all the same.
      if (!(error instanceof RefusedError)) throw error;
      const { refusal } = error;
      const words = 'reason' in refusal ? refusal.reason : `${refusal.what} ${refusal.name} does not exist`;
      return settleRefused(store, epoch, settled, words);
    }
  }

  /** Why these files cannot be a version, or null. */
  private async problemOf(files: readonly VersionFile[]): Promise<string | null> {
    const [listed] = fileProblems(files, this.rules);
    if (listed !== undefined) return `${listed.field} ${listed.message}`;
    for (const { path, digest } of files) {
      const source = await this.blobs.openSource(digest);
      if (source === null) return `${path} is gone from the registry`;
      try {
        const problem = await contentProblem(path, source, this.rules);
        if (problem !== null) return `${path} ${problem}`;
      } finally {
        await source.close();
      }
    }
    return null;
  }

  private async blobsOf(digest: string): Promise<string[]> {
    return blobsOf(digest, (await readManifest(this.blobs, digest)) ?? []);
  }
}

function settleRefused(store: Store, epoch: number, settled: SettledJob, reason: string): Promise<SettledJob[]> {
  const event = { kind: 'PublishRefused', message: `the output was not published as a version: ${reason}` };
  return settleJobs(store, epoch, [withEvent(settled, event)]);
}

function withEvent(settled: SettledJob, event: StepEvent): SettledJob {
  return { ...settled, step: { ...settled.step, events: [...settled.step.events, event] } };
}

async function settlePublished(
  rows: Rows,
  settled: SettledJob,
  digest: string,
  files: readonly VersionFile[],
): Promise<SettledJob[]> {
  const { job } = settled.facts;
  const [present] = await rows.jobs.lock([job.id]);
  if (present?.revision !== job.revision) return [];
  const { model, version } = await publish(rows, settled.facts, digest, files);
  const event = { kind: 'Published', message: `its output is version ${version.number} of model ${model.name}` };
  const besides = new Map([[job.id, { publishedVersionId: version.id }]]);
  return settleIn(rows, [withEvent(settled, event)], besides);
}

async function publish(
  rows: Rows,
  { job, attempt, nowMs }: JobFacts,
  digest: string,
  files: readonly VersionFile[],
): Promise<{ model: Model; version: ModelVersion }> {
  const { modelId, alias } = job.spec.output.publish!;
  const model = await rows.models.find({ id: modelId });
  if (model === null) throw new RefusedError(refuse.notFound('model', modelId));
  const base = await baseOf(rows, job);
  const { id } = await rows.versions.insert({
    id: uuidv7(),
    tenantId: model.tenantId,
    modelId,
    phase: 'Uploading',
    digest: null,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    files,
    notes: `made by job ${job.name}`,
    parentId: base?.modelId === modelId && base.phase === 'Published' ? base.id : null,
    metadata: { job: job.name, jobId: job.id, attempt: String(attempt?.number ?? job.attempts) },
    signature: null,
    createdAt: new Date(nowMs),
    publishedAt: null,
  });
  await rows.versions.publish(id, digest, files, null);
  const version = (await rows.versions.find({ id }))!;
  await wantParentDiffs(rows, version);
  if (alias !== null) await moveAlias(rows, model, alias, id);
  await rows.audit.add({
    tenantId: model.tenantId,
    actor: ACTOR,
    action: 'versions.publish',
    targetKind: 'version',
    targetId: id,
    detail: { model: model.name, number: version.number, digest, job: job.name, alias },
  });
  return { model, version };
}

/** What is to be said of a job whose output will be a version without a parent; null where it will have one, or is none. */
export async function parentWarning(rows: Rows, job: Job): Promise<string | null> {
  const { publish } = job.spec.output;
  if (publish === null) return null;
  const base = await baseOf(rows, job);
  if (base === null) return `it has no mount "${BASE}", so what it publishes will be a version without a parent`;
  if (base.modelId === publish.modelId) return null;
  return `its mount "${BASE}" is of another model, so what it publishes will be a version without a parent`;
}

async function baseOf(rows: Rows, { spec }: Job): Promise<ModelVersion | null> {
  const mount = spec.mounts.find(({ name }) => name === BASE);
  return mount === undefined ? null : rows.versions.find({ id: mount.versionId });
}

async function moveAlias(rows: Rows, model: Model, name: string, versionId: string): Promise<void> {
  await rows.aliases.find(model.id, name, true);
  await rows.aliases.move({ tenantId: model.tenantId, modelId: model.id, name }, versionId, ACTOR);
  await followAlias(rows, model.id, name, versionId, ACTOR);
}
