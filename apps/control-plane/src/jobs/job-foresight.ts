/**
 * What would be done with a job, and why it is where it is, for people: the leader's plan (`plan-jobs.ts`) and its stored
 * decisions, with names for ids. Jobs of other tenants that play a part in it are not named: the planner sees to that.
 */
import { Injectable, Logger } from '@nestjs/common';
import type { JobExplainDto, JobPlanDto } from '#contracts';
import {
  type Attempt,
  type CandidateVerdict,
  type Decision,
  type DecisionVictim,
  isFinal,
  type Job,
  RefusedError,
  type Rows,
  refuse,
  Store,
} from '#domain';
import { planWorkloads, type WorkloadCluster } from '#scheduling';
import type { Actor } from '../auth/actor.ts';
import { BlobStore } from '../blobs/blob-store.ts';
import { FleetDevicesReader } from '../queues/fleet-devices.ts';
import { isPending } from './job-snapshot.ts';
import { viewAttempts, viewBindings } from './job-view.ts';
import { findJob } from './jobs.ts';
import { newJob, type WantedJob } from './new-job.ts';
import { nextSteps } from './next-steps.ts';
import { type Foreseeing, type ForeseenJob, foreseeing, planJobs, planWaiting } from './plan-jobs.ts';
import { parentWarning } from './publish-output.ts';
import { readClusters } from './surroundings.ts';
import { SharedTurns, type TurnBounds, Turns } from './turns.ts';
import { waitingReason } from './waiting-reason.ts';

/** A plan of all that waits takes a tenth of a second with 40,000 jobs, in a process that has other things to do. */
const PLAN_TURNS: TurnBounds = { waitMsMax: 10_000, waitingMax: 1_000 };

export const DECISIONS_EXPLAINED_MAX = 20;

@Injectable()
export class JobForesight {
  private readonly logger = new Logger('jobs');
  private readonly turns = new Turns(PLAN_TURNS);
  /** One plan explains all jobs that are asked about while it is waited for. */
  private readonly explaining = new SharedTurns(this.turns, async (jobs: readonly Job[]) => {
    const { read } = this.store;
    return planWaiting(read, jobs, await read.clock.nowMs(), this.kept);
  });
  private readonly kept: Foreseeing;

  constructor(
    private readonly store: Store,
    private readonly fleet: FleetDevicesReader,
    private readonly blobs: BlobStore,
  ) {
    this.kept = foreseeing(store.read);
  }

  /** Where and when it would run, and who would be preempted. Nothing is written. */
  async plan(actor: Actor, wanted: WantedJob): Promise<JobPlanDto> {
    const { read } = this.store;
    const { tenantId } = actor;
    const { job, sized } = await newJob(read, this.blobs, actor, wanted, await read.clock.now());
    if ((await read.jobs.find({ tenantId, name: job.name })) !== null) {
      throw new RefusedError(refuse.conflict('a job with this name exists; choose another name'));
    }
    const plan = async () => planJobs(read, job, await read.clock.nowMs(), this.kept);
    const foreseen = await this.turns.take(plan);
    const view = await viewForeseen(read, job, foreseen);
    const changes = job.phase === 'Waiting' ? [`${job.reason}: what is said here holds once these have ended`] : [];
    const warning = await this.#warningOf(job);
    return {
      ...view,
      changes: [...changes, ...view.changes],
      ...(sized === null ? {} : { sized }),
      ...(warning === null ? {} : { warning }),
    };
  }

  async explain(tenantId: string, name: string): Promise<JobExplainDto> {
    const { read } = this.store;
    const job = await findJob(read, tenantId, name);
    const foreseen = isPending(job) ? (await this.explaining.ask(job)).get(job.id) : undefined;
    const decisions = await read.decisions.newest(job.id, DECISIONS_EXPLAINED_MAX);
    const attempts = await read.attempts.ofJob(job.id);
    const nowMs = await read.clock.nowMs();
    const shown = foreseen === undefined ? null : await viewForeseen(read, job, foreseen);
    const stored = decisions.map(viewDecision);
    const views = await viewAttempts(read, attempts, tenantId);
    return {
      ...{ job: name, phase: job.phase },
      sentence: sentenceOf(job, attempts, shown),
      place: shown?.place ?? null,
      startsBy: shown?.startsBy ?? null,
      victims: shown?.victims ?? stored.find(({ victims }) => victims.length > 0)?.victims ?? [],
      preemptedBy: views.flatMap(({ stop, lostDeviceSeconds }) =>
        stop?.cause === 'preempted' ? [{ job: stop.byJob, reason: stop.reason, lostDeviceSeconds, at: stop.at }] : [],
      ),
      changes: [...nextSteps({ job, newest: attempts[0] ?? null, nowMs }), ...(shown?.changes ?? [])],
      candidates: shown?.candidates ?? stored[0]?.candidates ?? [],
      decisions: stored,
      attempts: views,
    };
  }

  /**
   * What is not as it should be about a job that was taken: the whole fleet, were it empty, has no room for it, or what it
   * publishes will have no parent. Null: nothing, or nobody has reported yet. Never rejects: the job is taken.
   */
  async warn(tenantId: string, name: string): Promise<string | null> {
    try {
      return await this.#warningOf(await findJob(this.store.read, tenantId, name));
    } catch (error) {
      this.logger.warn(`nothing can be said of job ${name}, which was just taken: ${String(error)}`);
      return 'whether it can ever run is not known: the fleet could not be looked at; explain tells later';
    }
  }

  async #warningOf(job: Job): Promise<string | null> {
    const { clusters } = await this.fleet.read();
    const room = clusters.length === 0 ? null : neverFits(job, clusters);
    const parent = await parentWarning(this.store.read, job);
    const warnings = [room, parent].filter((warning) => warning !== null);
    return warnings.length === 0 ? null : warnings.join('; ');
  }
}

/** Pure: the leader's planner on an empty fleet with this job alone. */
export function neverFits(job: Job, clusters: readonly WorkloadCluster[]): string | null {
  const { id, name, tenantId, queueId, priority, spec } = job;
  const queue = { id: queueId, name: queueId, tenantId, parentId: null, weight: 1, quota: {} };
  const limits = { borrowingLimit: null, lendingLimit: null, order: 'fcfs' as const, paused: false };
  const { verdicts } = planWorkloads({
    nowMs: 0,
    clusters,
    queues: [{ ...queue, ...limits, recentDeviceSeconds: 0 }],
    pending: [
      {
        ...{ id, name, kind: 'job', tenantId, queueId, priority, claim: spec.claim, gang: spec.gang },
        ...{ queuedAtMs: 0, expectedSeconds: null, savedSeconds: 0, preemption: 'never', selector: spec.selector },
        ...{ notBeforeMs: null, nomination: null, avoidClusterIds: [], preferredClusterIds: [] },
      },
    ],
    running: [],
  });
  const [verdict] = verdicts;
  if (verdict?.state !== 'unschedulable') return null;
  return [verdict.reason.replace(/\.$/, ''), ...verdict.changes.slice(0, 1)].join('; ');
}

async function viewForeseen(rows: Rows, job: Job, foreseen: ForeseenJob): Promise<JobPlanDto> {
  const { verdict, start, nomination } = foreseen;
  const tasks = start?.tasks ?? (verdict.state === 'nominated' ? (nomination?.tasks ?? []) : []);
  const clusters = await readClusters(rows, [...new Set(tasks.map(({ clusterId }) => clusterId))]);
  const { state, reason, place, startsByMs, victims, changes, candidates } = verdict;
  return {
    ...{ job: job.name, state, reason, place, changes: [...changes], candidates: candidates.map(viewCandidate) },
    tasks: viewBindings(tasks, { clusters }),
    startsBy: startsByMs === null ? null : new Date(startsByMs).toISOString(),
    victims: victims.map(viewVictim),
  };
}

function viewDecision({ outcome, decidedAt, detail, candidates }: Decision): JobExplainDto['decisions'][number] {
  return {
    ...{ outcome, decidedAt: decidedAt.toISOString(), place: detail?.place ?? null },
    startsBy: detail?.startsBy ?? null,
    victims: (detail?.victims ?? []).map(viewVictim),
    changes: [...(detail?.changes ?? [])],
    candidates: candidates.map(viewCandidate),
  };
}

function viewVictim({ jobName: job, priority, lostDeviceSeconds }: DecisionVictim): JobPlanDto['victims'][number] {
  return { job, priority, lostDeviceSeconds };
}

function viewCandidate(candidate: CandidateVerdict): JobPlanDto['candidates'][number] {
  const { clusterName: cluster, score, scores, rejectedBy, rejectedBecause } = candidate;
  return { cluster, score, scores: { ...scores }, rejectedBy, rejectedBecause };
}

/** Pure. */
export function sentenceOf(job: Job, attempts: readonly Attempt[], foreseen: JobPlanDto | null): string {
  const { name, phase, reason } = job;
  const live = attempts.find((attempt) => attempt.phase !== 'Ended');
  if (isFinal(phase)) return `${name} is ${phase}: ${reason}.`.replace(/\.\.$/, '.');
  if (live?.stop) return `${name} is stopping: ${live.stop.reason}.`.replace(/\.\.$/, '.');
  if (live !== undefined) return `${name} is ${phase}: ${live.reason}.`.replace(/\.\.$/, '.');
  const place = foreseen?.place ? ` (place ${foreseen.place} in its queue)` : '';
  const why = foreseen === null ? reason : waitingReason(job, foreseen.reason);
  return `${name} is ${phase}${place}: ${why}.`.replace(/\.\.$/, '.');
}
