export { CLASS_SHARES, REPLAY_CLASSES, type ReplayClass } from './classes.ts';
export * from './errors.ts';
export type { Finding } from './finding.ts';
export { findingsOf } from './finding.ts';
export { DEFAULT_FLEET, describeFleet, devicesOf, type FleetShape, parseFleet } from './fleet.ts';
export type { JobComparison } from './jobs/compare.ts';
export { compareJobs } from './jobs/compare.ts';
export { jobFindingRules } from './jobs/findings.ts';
export { type ClassOutcome, type JobOutcome, PASS_FLOOR_MS, PASS_SLOWDOWN } from './jobs/outcome.ts';
export { JOB_POLICIES, JOB_POLICY_NAMES, type JobPolicyName, SAVE_SECONDS } from './jobs/policies.ts';
export { CYCLE_SECONDS_DEFAULT, type JobReplayOptions, stepJobReplay } from './jobs/replay-jobs.ts';
export { busiestTenth, type JobWorkload, makeJobWorkload, type ReplayJob } from './jobs/workload.ts';
export type { RequestComparison } from './requests/compare.ts';
export { compareRequests } from './requests/compare.ts';
export { REQUEST_FINDING_RULES } from './requests/findings.ts';
export { DEADLINES_MS, type RequestClassOutcome, type RequestOutcome } from './requests/outcome.ts';
export { REQUEST_POLICIES, REQUEST_POLICY_NAMES, type RequestPolicyName } from './requests/policies.ts';
export { comparePrompts, type PromptComparison } from './routing/compare.ts';
export { promptFindings } from './routing/findings.ts';
export type { PromptOutcome } from './routing/outcome.ts';
export { PROMPT_POLICIES, PROMPT_POLICY_NAMES, type PromptPolicyName } from './routing/policies.ts';
export { DEFAULT_WORKER, type WorkerShape } from './routing/worker.ts';
export { recordedLoad } from './routing/workload.ts';
export type { Range, Ranges } from './statistics.ts';
export {
  finish,
  type JobStudy,
  type JobTask,
  type PromptStudy,
  type PromptTask,
  type Replayed,
  type ReplayTask,
  type RequestStudy,
  type RequestTask,
  stepJobTask,
  stepPromptTask,
  stepRequestTask,
  tasksOf,
} from './study.ts';
export { parseJobTrace, type TracedJob } from './traces/job-trace.ts';
export { parsePromptTrace, TRACED_BLOCK_TOKENS, type TracedPrompt } from './traces/prompt-trace.ts';
export { TRACE_KINDS, type TraceKind, traceKindOf } from './traces/recognise.ts';
export { parseRequestTrace, type TracedRequest } from './traces/request-trace.ts';
