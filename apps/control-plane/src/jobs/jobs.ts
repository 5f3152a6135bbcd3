/**
 * Jobs as intent: submitted, cancelled, suspended, resumed, tried once more, removed. Written here with their audit entry
 * and an event; the leader's loop moves phases afterwards. The one exception are ended jobs, which no loop looks at: to
 * try one again its phase is set here.
 */
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AttemptDto, JobDto, JobEventDto, jobsQuerySchema } from '#contracts';
import {
  ACTIVE_JOBS_PER_TENANT_MAX,
  isFinal,
  type Job,
  type JobChange,
  type QueueTally,
  RefusedError,
  type Rows,
  refuse,
  Store,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { BlobStore } from '../blobs/blob-store.ts';
import { demandPublished } from '../deployments/wanted-version.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { type Deed, Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { namedQueue } from '../queues/named.ts';
import { readableBy, viewAttempts, viewEvent, viewJob, viewJobs } from './job-view.ts';
import { beginning, newJob, type WantedJob } from './new-job.ts';

export interface JobTarget {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

/** What somebody may want of a job that is there. */
export type JobIntent = 'cancel' | 'suspend' | 'resume' | 'retry';

interface IntentOutcome {
  readonly change: JobChange;
  /** What is told of it in the job's events. */
  readonly kind: string;
  readonly message: string;
}

@Injectable()
export class Jobs {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly blobs: BlobStore,
  ) {}

  submit(actor: Actor, wanted: WantedJob, idempotencyKey: string | undefined): Promise<JobDto> {
    const request = repeatable(idempotencyKey, wanted);
    return this.mutations.create(actor, 'jobs.submit', request, async (rows) => {
      await demandRoomForOneMore(rows, actor.tenantId);
      const { job, sized } = await newJob(rows, this.blobs, actor, wanted, await rows.clock.now());
      await rows.jobs.insert([job]);
      for (const { versionId } of job.spec.mounts) await demandPublished(rows, versionId);
      const where = `submitted by ${actor.name} to queue ${wanted.queue} as ${job.priorityClass}`;
      await tell(rows, job, 'Submitted', sized === null ? where : `${where}; what it needs: ${sized}`);
      const { name, kind, queue, priorityClass } = wanted;
      return { ...of(job, { name, kind, queue, priorityClass }), result: await viewJob(rows, job) };
    });
  }

  async list(actor: Actor, query: z.output<typeof jobsQuerySchema>): Promise<Page<JobDto>> {
    const { read } = this.store;
    const { tenantId } = actor;
    const queueId = query.queue === undefined ? undefined : (await namedQueue(read, tenantId, query.queue)).id;
    const filter = {
      ...(queueId === undefined ? {} : { queueId }),
      ...(query.phase === undefined ? {} : { phases: query.phase }),
    };
    const page = await readPage(tenantId, query, (request) => read.jobs.list({ ...request, ...filter }));
    const items = await viewJobs(read, page.items);
    return { ...page, items: items.map((job) => readableBy(job, actor)) };
  }

  async get(actor: Actor, name: string): Promise<JobDto> {
    const { read } = this.store;
    return readableBy(await viewJob(read, await findJob(read, actor.tenantId, name)), actor);
  }

  async attempts(tenantId: string, name: string, query: PageQuery): Promise<Page<AttemptDto>> {
    const { read } = this.store;
    const job = await findJob(read, tenantId, name);
    const page = await readPage(tenantId, query, async ({ after, limit }) => {
      const all = await read.attempts.ofJob(job.id);
      const last = all.findIndex(({ id }) => id === after);
      return after !== null && last < 0 ? [] : all.slice(last + 1, last + 1 + limit);
    });
    return { ...page, items: await viewAttempts(read, page.items, tenantId) };
  }

  async events(tenantId: string, name: string, query: PageQuery): Promise<Page<JobEventDto>> {
    const job = await findJob(this.store.read, tenantId, name);
    const page = await readPage(tenantId, query, ({ after, limit }) =>
      this.store.read.jobEvents.list(job.id, { after, limit }),
    );
    return { ...page, items: page.items.map(viewEvent) };
  }

  /** Repeating it is harmless; what it asks of a job that cannot do it is refused. */
  intend(actor: Actor, target: JobTarget, intent: JobIntent): Promise<JobDto> {
    return this.mutations.run(actor, `jobs.${intent}`, async (rows) => {
      const job = await findJob(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, job);
      if (intent === 'retry' && isFinal(job.phase)) await demandRoomForOneMore(rows, actor.tenantId);
      const now = await rows.clock.now();
      const outcome = INTENTS[intent](job, actor, now);
      if (intent === 'retry') await demandDependenciesKept(rows, job);
      return writeIntent(rows, job, outcome);
    });
  }

  /** An active job is cancelled, an ended one is removed. @returns null when it is gone */
  remove(actor: Actor, target: JobTarget): Promise<JobDto | null> {
    return this.mutations.run<JobDto | null>(actor, 'jobs.delete', async (rows) => {
      const job = await findJob(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, job);
      if (!isFinal(job.phase)) {
        return writeIntent(rows, job, INTENTS.cancel(job, actor, await rows.clock.now()));
      }
      await demandNoDependents(rows, job);
      await rows.jobs.remove([job.id]);
      return { ...of(job, { name: job.name, phase: job.phase }), result: null };
    });
  }
}

type JudgeIntent = (job: Job, actor: Actor, now: Date) => IntentOutcome | null;

/** Each gives the change, null when it is so already, or throws a conflict. */
export const INTENTS: Readonly<Record<JobIntent, JudgeIntent>> = {
  cancel: (job, actor, now) => {
    if (job.phase === 'Cancelled' || (job.cancelRequestedAt !== null && !isFinal(job.phase))) return null;
    if (isFinal(job.phase)) throw conflict(job, 'there is nothing to cancel');
    return { change: { cancelRequestedAt: now }, kind: 'CancelRequested', message: `asked by ${actor.name}` };
  },
  suspend: (job, actor) => {
    if (isFinal(job.phase)) throw conflict(job, 'there is nothing to suspend');
    demandNotBeingCancelled(job);
    if (job.suspended) return null;
    return { change: { suspended: true }, kind: 'SuspendRequested', message: `asked by ${actor.name}` };
  },
  resume: (job, actor) => {
    if (isFinal(job.phase)) throw conflict(job, 'try it once more with retry');
    demandNotBeingCancelled(job);
    if (!job.suspended) return null;
    return { change: { suspended: false }, kind: 'ResumeRequested', message: `asked by ${actor.name}` };
  },
  retry: (job, actor, now) => {
    if (!isFinal(job.phase)) {
      throw new RefusedError(refuse.conflict(`job "${job.name}" has not ended: it is ${job.phase}`));
    }
    if (job.phase === 'Succeeded') throw conflict(job, 'submit it anew under another name');
    const { runDeadlineSeconds } = job.spec;
    if (runDeadlineSeconds !== null && job.ranSeconds >= runDeadlineSeconds) {
      throw conflict(job, `it ran out of its runDeadlineSeconds of ${runDeadlineSeconds}; submit it anew with more`);
    }
    const { phase, reason, queuedAt } = beginning(isPastDependencies(job) ? [] : dependencyNames(job), now);
    const cleared = {
      suspended: false,
      cancelRequestedAt: null,
      failures: 0,
      losses: 0,
      retryAt: null,
      nomination: null,
    };
    const change = { phase, reason, queuedAt, endedAt: null, ...cleared };
    return { change, kind: 'RetryRequested', message: `asked by ${actor.name}` };
  },
};

/** Whoever was queued once has them behind it, whatever became of them since. */
function isPastDependencies({ queuedAt }: Pick<Job, 'queuedAt'>): boolean {
  return queuedAt !== null;
}

function demandNotBeingCancelled({ name, cancelRequestedAt }: Job): void {
  if (cancelRequestedAt !== null) throw new RefusedError(refuse.conflict(`job "${name}" is being cancelled`));
}

function conflict(job: Job, advice: string): RefusedError {
  return new RefusedError(refuse.conflict(`job "${job.name}" has ended (${job.phase}): ${advice}`));
}

async function writeIntent(rows: Rows, job: Job, outcome: IntentOutcome | null): Promise<Deed<JobDto>> {
  if (outcome === null) return { ...of(job, { name: job.name, repeated: true }), result: await viewJob(rows, job) };
  await rows.jobs.update([{ id: job.id, revision: job.revision, change: outcome.change }]);
  await tell(rows, job, outcome.kind, outcome.message);
  const written = await rows.jobs.find({ id: job.id });
  return { ...of(job, { name: job.name }), result: await viewJob(rows, written ?? job) };
}

function of(job: Job, detail: Record<string, unknown>): Omit<Deed<never>, 'result'> {
  return { targetKind: 'job', targetId: job.id, detail };
}

function tell(rows: Rows, { id, tenantId }: Job, kind: string, message: string): Promise<void> {
  return rows.jobEvents.add([{ tenantId, jobId: id, attemptId: null, kind, message }]);
}

function dependencyNames({ dependsOn }: Pick<Job, 'dependsOn'>): string[] {
  return dependsOn.map(({ jobId, name = jobId }) => name);
}

/** One that was cancelled while it waited would wait for the success of what nobody knows any more. */
async function demandDependenciesKept(rows: Rows, job: Job): Promise<void> {
  const needed = isPastDependencies(job) ? [] : job.dependsOn.filter(({ when }) => when === 'success');
  if (needed.length === 0) return;
  const kept = new Set((await rows.jobs.findAll(needed.map(({ jobId }) => jobId))).map(({ id }) => id));
  const gone = needed.find(({ jobId }) => !kept.has(jobId));
  if (gone === undefined) return;
  const what = `job ${gone.name ?? gone.jobId}, which had to succeed first, is no longer kept`;
  throw conflict(job, `${what}; submit it anew without that dependency, or after a new one`);
}

/** Counted without a lock: those that come at the same moment may be some more. */
async function demandRoomForOneMore(rows: Rows, tenantId: string): Promise<void> {
  const problem = tooManyJobs(await rows.jobs.tally(tenantId));
  if (problem !== null) throw new RefusedError(refuse.conflict(problem));
}

/** Why a tenant whose active jobs are these cannot have one more, or null. Pure. */
export function tooManyJobs(active: readonly Pick<QueueTally, 'count'>[]): string | null {
  const count = active.reduce((sum, each) => sum + each.count, 0);
  if (count < ACTIVE_JOBS_PER_TENANT_MAX) return null;
  return `a tenant has at most ${ACTIVE_JOBS_PER_TENANT_MAX} jobs that have not ended; wait until some of them end`;
}

const DEPENDENTS_NAMED_MAX = 5;

/** Who waits for it would wait for what nobody knows any more. */
async function demandNoDependents(rows: Rows, job: Job): Promise<void> {
  const names = await rows.jobs.dependents(job.id, DEPENDENTS_NAMED_MAX + 1);
  if (names.length === 0) return;
  const more = names.length > DEPENDENTS_NAMED_MAX ? ' and others' : '';
  const named = names.slice(0, DEPENDENTS_NAMED_MAX).join(', ');
  const verbs = names.length === 1 ? 'depends on it and has not' : 'depend on it and have not';
  throw new RefusedError(refuse.conflict(`${named}${more} ${verbs} ended`));
}

/** @throws RefusedError not-found, also for a job of another tenant */
export async function findJob(rows: Rows, tenantId: string, name: string, forUpdate = false): Promise<Job> {
  const job = await rows.jobs.find({ tenantId, name }, forUpdate);
  if (job === null) throw new RefusedError(refuse.notFound('job', name));
  return job;
}
