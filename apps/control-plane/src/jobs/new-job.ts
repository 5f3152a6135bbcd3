// From what was submitted to a job: names become ids, defaults of classes become numbers, and what cannot be is refused
// with the field at fault. Nothing is written here.

import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createJobSchema } from '#contracts';
import {
  fillTemplate,
  type Job,
  type JobDependency,
  type JobMount,
  type JobOutput,
  type JobSpec,
  RefusedError,
  type Rows,
  refuse,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { wantedVersion } from '../deployments/wanted-version.ts';
import { namedPriorityClass, namedQueue } from '../queues/named.ts';
import { type ResolvedClaim, resolveClaim } from './resolve-claim.ts';

export type WantedJob = z.output<typeof createJobSchema>;

export interface NewJob extends Pick<ResolvedClaim, 'sized'> {
  readonly job: Job;
}

/** @throws RefusedError invalid, naming the field; forbidden when the actor may not use the class */
export async function newJob(
  rows: Rows,
  blobs: BlobStore,
  actor: Pick<Actor, 'tenantId' | 'role'>,
  wanted: WantedJob,
  now: Date,
): Promise<NewJob> {
  const { tenantId } = actor;
  const queue = await namedQueue(rows, tenantId, wanted.queue);
  const priorityClass = await namedPriorityClass(rows, actor, wanted.priorityClass, 'job');
  const dependsOn = await namedDependencies(rows, tenantId, wanted);
  const mounts = await namedMounts(rows, tenantId, wanted);
  const output = await namedOutput(rows, tenantId, wanted);
  const resolved = await resolveClaim(rows, blobs, wanted, mounts);
  const { name, kind } = wanted;
  const { priority, preemption, preemptible } = priorityClass;
  const job: Job = {
    ...{ id: uuidv7(), tenantId, name, kind, queueId: queue.id, dependsOn },
    ...{ priorityClass: priorityClass.name, priority, preemption, preemptible },
    spec: specOf(wanted, { mounts, output, resolved }),
    ...beginning(
      wanted.dependsOn.map((each) => each.job),
      now,
    ),
    ...{
      suspended: false,
      cancelRequestedAt: null,
      attempts: 0,
      failures: 0,
      preemptions: 0,
      losses: 0,
      retryAt: null,
    },
    ...{ startedAt: null, endedAt: null, ranSeconds: 0, usedDeviceSeconds: 0, lostDeviceSeconds: 0 },
    ...{ checkpoint: null, nomination: null, outputDigest: null, publishedVersionId: null },
    ...{ createdAt: now, revision: 1 },
  };
  return { job, sized: resolved.sized };
}

/** The phase of a job that was just submitted, or is to be tried once more. @param names of what it waits for */
export function beginning(
  names: readonly string[],
  now: Date,
): Pick<Job, 'phase' | 'reason' | 'phaseSince' | 'queuedAt'> {
  if (names.length === 0) {
    return { phase: 'Queued', reason: 'waits to be scheduled', phaseSince: now, queuedAt: now };
  }
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  const reason = `waits for ${names.slice(0, 5).join(', ')}${more}`;
  return { phase: 'Waiting', reason, phaseSince: now, queuedAt: null };
}

function specOf(
  wanted: WantedJob,
  named: { readonly mounts: readonly JobMount[]; readonly output: JobOutput; readonly resolved: ResolvedClaim },
): JobSpec {
  const { mounts, output, resolved } = named;
  const { selector, launcher, checkpoint, graceSeconds, retry, startDeadlineSeconds, runDeadlineSeconds } = wanted;
  const { ttlSeconds, expectedSeconds, minimumRunSeconds, preemptionsMax, protectedSeconds, lostAfterSeconds } = wanted;
  const filled = commandOf(wanted);
  return {
    ...{ gang: resolved.gang, claim: resolved.claim, selector: selector as JobSpec['selector'], launcher },
    command: filled.command,
    environment: { ...wanted.environment, ...filled.environment, ...resolved.environment },
    ...{ mounts, checkpoint, graceSeconds, retry, startDeadlineSeconds, runDeadlineSeconds, ttlSeconds, output },
    ...{ expectedSeconds, minimumRunSeconds, preemptionsMax, protectedSeconds, lostAfterSeconds },
  };
}

function commandOf({ command, template, kind, mounts }: WantedJob) {
  if (template === undefined) return { command: command ?? [], environment: {} };
  const filled = fillTemplate(template.name, template.parameters, { kind, mounts: Object.keys(mounts) });
  if ('problem' in filled) throw new RefusedError(refuse.invalid('template', filled.problem));
  return filled;
}

/**
 * A job can only name jobs that are there before it, and never names others later: so names alone make no cycle. What is
 * left to refuse is itself, and what is not there (D03).
 */
async function namedDependencies(rows: Rows, tenantId: string, wanted: WantedJob): Promise<JobDependency[]> {
  const found: JobDependency[] = [];
  for (const [index, { job: name, when }] of wanted.dependsOn.entries()) {
    const field = `dependsOn[${index}].job`;
    if (name === wanted.name) throw new RefusedError(refuse.invalid(field, 'a job cannot depend on itself'));
    const job = await rows.jobs.find({ tenantId, name });
    if (job === null) throw new RefusedError(refuse.invalid(field, `there is no job "${name}"; submit it first`));
    found.push({ jobId: job.id, when, name });
  }
  return found;
}

async function namedMounts(rows: Rows, tenantId: string, { mounts }: WantedJob): Promise<JobMount[]> {
  const found: JobMount[] = [];
  for (const [name, { model: modelName, version, alias }] of Object.entries(mounts)) {
    const model = await rows.models.find({ tenantId, name: modelName });
    if (model === null) {
      throw new RefusedError(refuse.invalid(`mounts.${name}.model`, `there is no model "${modelName}"`));
    }
    const wanted = await wantedVersion(rows, model, { version, alias }).catch((error: unknown) => {
      throw belowField(error, `mounts.${name}`);
    });
    found.push({ name, versionId: wanted.version.id });
  }
  return found;
}

/** Publishing without an output would publish nothing. */
async function namedOutput(rows: Rows, tenantId: string, { output }: WantedJob): Promise<JobOutput> {
  if (output.publish === undefined) return { required: output.required, publish: null };
  const { model: name, alias = null } = output.publish;
  const model = await rows.models.find({ tenantId, name });
  if (model === null) {
    throw new RefusedError(refuse.invalid('output.publish.model', `there is no model "${name}"; make it first`));
  }
  return { required: true, publish: { modelId: model.id, alias } };
}

function belowField(error: unknown, field: string): unknown {
  if (!(error instanceof RefusedError) || error.refusal.refused !== 'invalid') return error;
  return new RefusedError(refuse.invalid(`${field}.${error.refusal.field}`, error.refusal.reason));
}
