/**
 * What can be compared on a job trace: each row is the production planner (`planWorkloads`) with other settings, and a
 * way in which work is saved before it is stopped. The last row is what an installation does by default.
 */
import type { QueueOrder } from '#domain';
import type { WorkloadPolicy } from '#scheduling';

const HALF_HOUR_SECONDS = 1_800;
export const SAVE_SECONDS = 60;
/** More than any wait: nothing is lifted for having waited. */
const NEVER_SECONDS = 1e9;
const DAY_SECONDS = 86_400;

/**
 * `none`: what ran is lost when it is stopped. `periodic`: it keeps what it had at the last multiple of `everySeconds`
 * of its run. `on-stop`: it goes on holding its devices for `saveSeconds` and keeps all.
 */
export type Saving =
  | { readonly kind: 'none' }
  | { readonly kind: 'periodic'; readonly everySeconds: number }
  | { readonly kind: 'on-stop'; readonly saveSeconds: number };

export interface JobPolicy {
  readonly meaning: string;
  /** False: every job is of one class to the planner. */
  readonly seesClasses: boolean;
  readonly order: QueueOrder;
  readonly saving: Saving;
  readonly workload: Partial<WorkloadPolicy>;
}

const onStop: Saving = { kind: 'on-stop', saveSeconds: SAVE_SECONDS };
const halfHourly: Saving = { kind: 'periodic', everySeconds: HALF_HOUR_SECONDS };
const classes = { seesClasses: true, order: 'static-priority', saving: onStop } as const;

export const JOB_POLICIES = {
  'fifo-backfill': {
    meaning: 'first come, first served over all classes, with EASY backfill; what the others are compared with',
    seesClasses: false,
    order: 'fcfs',
    saving: onStop,
    workload: { preempts: false, waitCapSeconds: NEVER_SECONDS },
  },
  priority: {
    ...classes,
    meaning: 'by class, then first come; nothing is stopped',
    workload: { preempts: false, waitCapSeconds: NEVER_SECONDS },
  },
  'preempt-kill-youngest': {
    ...classes,
    meaning: 'by class; the youngest of lower classes are killed and begin again',
    saving: { kind: 'none' },
    workload: { victims: 'youngest', waitCapSeconds: NEVER_SECONDS },
  },
  'preempt-half-hourly-youngest': {
    ...classes,
    meaning: 'by class; checkpoints every 30 min; the youngest of lower classes are stopped',
    saving: halfHourly,
    workload: { victims: 'youngest', waitCapSeconds: NEVER_SECONDS },
  },
  'preempt-half-hourly-least-lost': {
    ...classes,
    meaning: 'by class; checkpoints every 30 min; those that lose least are stopped, and none that can be spared',
    saving: halfHourly,
    workload: { waitCapSeconds: NEVER_SECONDS },
  },
  'preempt-save': {
    ...classes,
    meaning: 'by class; who is stopped saves first, in 60 s',
    workload: { waitCapSeconds: NEVER_SECONDS },
  },
  'dynamic-weighted': {
    ...classes,
    meaning: 'the reference formula over levels, in each class; saves when stopped',
    order: 'dynamic-weighted',
    workload: { waitCapSeconds: NEVER_SECONDS },
  },
  'c-mu': {
    ...classes,
    meaning: 'class weight over predicted worker-time; saves when stopped',
    order: 'c-mu',
    workload: { waitCapSeconds: NEVER_SECONDS },
  },
  'class-shortest': {
    ...classes,
    meaning: 'by class, then least worker-time left; saves when stopped',
    order: 'class-shortest',
    workload: { waitCapSeconds: NEVER_SECONDS },
  },
  'class-shortest-aged': {
    ...classes,
    meaning: 'by class, then least worker-time left, but who waited a day goes first in its class',
    order: 'class-shortest',
    workload: { waitCapSeconds: DAY_SECONDS, waitCapRuns: 0 },
  },
  atoll: {
    ...classes,
    meaning: 'what an installation does by default',
    order: 'class-shortest',
    workload: {},
  },
} as const satisfies Readonly<Record<string, JobPolicy>>;

export type JobPolicyName = keyof typeof JOB_POLICIES;
export const JOB_POLICY_NAMES = Object.keys(JOB_POLICIES) as JobPolicyName[];
export const JOB_BASELINE: JobPolicyName = 'fifo-backfill';
