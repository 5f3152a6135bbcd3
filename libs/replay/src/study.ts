/**
 * A comparison is many replays that know nothing of each other: a study is what they have in common, a task what is one's
 * own. Both are plain values, so that tasks can run in any thread and order.
 */
import type { FleetShape } from './fleet.ts';
import { devicesOf } from './fleet.ts';
import type { JobOutcome } from './jobs/outcome.ts';
import { JOB_POLICIES, type JobPolicyName } from './jobs/policies.ts';
import { stepJobReplay } from './jobs/replay-jobs.ts';
import { makeJobWorkload } from './jobs/workload.ts';
import type { RequestOutcome } from './requests/outcome.ts';
import { REQUEST_POLICIES, type RequestPolicyName } from './requests/policies.ts';
import { replayRequests } from './requests/replay-requests.ts';
import { makeRequestWorkload } from './requests/workload.ts';
import type { PromptOutcome } from './routing/outcome.ts';
import { PROMPT_POLICIES, type PromptPolicy, type PromptPolicyName } from './routing/policies.ts';
import { stepPromptReplay } from './routing/replay-prompts.ts';
import type { WorkerShape } from './routing/worker.ts';
import { makePromptWorkload } from './routing/workload.ts';
import type { TracedJob } from './traces/job-trace.ts';
import type { TracedPrompt } from './traces/prompt-trace.ts';
import type { TracedRequest } from './traces/request-trace.ts';

export interface JobStudy {
  readonly kind: 'jobs';
  readonly trace: readonly TracedJob[];
  readonly fleet: FleetShape;
  readonly cycleSeconds: number;
  readonly estimateSigma: number;
}

export interface RequestStudy {
  readonly kind: 'requests';
  readonly trace: readonly TracedRequest[];
  readonly workers: number;
  readonly estimateSigma: number;
}

export interface PromptStudy {
  readonly kind: 'prompts';
  readonly trace: readonly TracedPrompt[];
  readonly workers: number;
  readonly worker: WorkerShape;
  /** Of policies that do not say it themselves. */
  readonly estimateSigma: number;
}

export interface ReplayTask<Policy extends string> {
  readonly policy: Policy;
  readonly seed: number;
  /** See `makeJobWorkload`, `makeRequestWorkload` and `makePromptWorkload`. */
  readonly load: number;
}

export type JobTask = ReplayTask<JobPolicyName>;
export type RequestTask = ReplayTask<RequestPolicyName>;
export type PromptTask = ReplayTask<PromptPolicyName>;

/** What a task came to. */
export interface Replayed<Policy extends string, Outcome> {
  readonly task: ReplayTask<Policy>;
  readonly outcome: Outcome;
}

export type ReplayedJobs = Replayed<JobPolicyName, JobOutcome>;
export type ReplayedRequests = Replayed<RequestPolicyName, RequestOutcome>;
export type ReplayedPrompts = Replayed<PromptPolicyName, PromptOutcome>;

/** Every policy on every seed, load by load. */
export function tasksOf<Policy extends string>(
  policies: readonly Policy[],
  seeds: readonly number[],
  loads: readonly number[],
): ReplayTask<Policy>[] {
  return loads.flatMap((load) => seeds.flatMap((seed) => policies.map((policy) => ({ policy, seed, load }))));
}

/**
 * One task in steps of some milliseconds (of a request trace: one step); yields the share that is done.
 *
 * @throws ReplayInputError for a load that cannot be made of the trace
 * @throws BrokenPlanError when the planner broke its word
 */
export function* stepJobTask(study: JobStudy, { policy, seed, load }: JobTask): Generator<number, JobOutcome> {
  const { trace, fleet, cycleSeconds, estimateSigma } = study;
  const workload = makeJobWorkload(trace, { seed, devices: devicesOf(fleet), load, estimateSigma });
  return yield* stepJobReplay({ workload, fleet, policy: JOB_POLICIES[policy], cycleSeconds });
}

export function* stepRequestTask(
  study: RequestStudy,
  { policy, seed, load }: RequestTask,
): Generator<number, RequestOutcome> {
  const { trace, workers, estimateSigma } = study;
  const workload = makeRequestWorkload(trace, { seed, workers, load, estimateSigma });
  yield 0;
  return replayRequests(workload, REQUEST_POLICIES[policy]);
}

export function* stepPromptTask(
  study: PromptStudy,
  { policy: name, seed, load }: PromptTask,
): Generator<number, PromptOutcome> {
  const { trace, workers, worker } = study;
  const policy: PromptPolicy = PROMPT_POLICIES[name];
  const { estimateSigma = study.estimateSigma, unseenShare = 0 } = policy;
  const workload = makePromptWorkload(trace, { seed, workers, load, estimateSigma, unseenShare });
  return yield* stepPromptReplay(workload, policy, worker);
}

/** All steps at once. */
export function finish<Outcome>(steps: Generator<unknown, Outcome>): Outcome {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
