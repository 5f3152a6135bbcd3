/**
 * Jobs, attempts, queues and priority classes with defaults, fixed time and ids that rise with every call: a spec names
 * only what it is about. In the default tenant and its default queue, so that the store takes them as they are.
 */
import {
  type Attempt,
  type Checkpoint,
  DEFAULT_QUEUE_ID,
  DEFAULT_TENANT_ID,
  type Job,
  type JobSpec,
  type PriorityClass,
  type Queue,
  type ResourceClaim,
} from '#domain';

export const JOBS_NOW = new Date('2026-01-02T03:04:05.678Z');

const CLAIM: ResourceClaim = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } };

let made = 0;

/** A UUID, later than all before it. */
export function nextTestId(): string {
  made += 1;
  return `00000000-0000-7000-9000-${made.toString(16).padStart(12, '0')}`;
}

/** One member, one cpu, no checkpoint. `gang: { size: n }` alone needs all n. */
export function jobSpecOf({
  gang,
  ...change
}: Partial<Omit<JobSpec, 'gang'>> & { gang?: Partial<JobSpec['gang']> } = {}): JobSpec {
  const size = gang?.size ?? 1;
  return {
    gang: { size, minimum: size, topology: null, spansClusters: false, ...gang },
    claim: CLAIM,
    selector: {},
    launcher: 'plain',
    command: ['true'],
    environment: {},
    mounts: [],
    checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null },
    graceSeconds: 60,
    retry: { limit: 3, backoffSeconds: 10, exitCodes: null },
    startDeadlineSeconds: null,
    runDeadlineSeconds: null,
    ttlSeconds: 7 * 86_400,
    output: { required: false, publish: null },
    expectedSeconds: null,
    minimumRunSeconds: 0,
    preemptionsMax: 5,
    protectedSeconds: 0,
    lostAfterSeconds: 300,
    ...change,
  };
}

/** Queued since JOBS_NOW, of class `normal`. */
export function jobOf(change: Partial<Job> = {}): Job {
  const id = change.id ?? nextTestId();
  return {
    id,
    tenantId: DEFAULT_TENANT_ID,
    name: `job-${id.slice(-6)}`,
    kind: 'command',
    queueId: DEFAULT_QUEUE_ID,
    priorityClass: 'normal',
    priority: 5,
    preemption: 'lower-priority',
    preemptible: true,
    dependsOn: [],
    spec: jobSpecOf(),
    phase: 'Queued',
    reason: '',
    phaseSince: JOBS_NOW,
    suspended: false,
    cancelRequestedAt: null,
    attempts: 0,
    failures: 0,
    preemptions: 0,
    losses: 0,
    retryAt: null,
    queuedAt: JOBS_NOW,
    startedAt: null,
    endedAt: null,
    ranSeconds: 0,
    usedDeviceSeconds: 0,
    lostDeviceSeconds: 0,
    checkpoint: null,
    nomination: null,
    outputDigest: null,
    publishedVersionId: null,
    createdAt: JOBS_NOW,
    revision: 1,
    ...change,
  };
}

/** The first attempt at `job`, its one member in `clusterId`, bound by the cluster itself. */
export function attemptOf(
  job: Pick<Job, 'id' | 'tenantId' | 'spec'>,
  { clusterId = nextTestId(), ...change }: Partial<Attempt> & { clusterId?: string } = {},
): Attempt {
  return {
    id: nextTestId(),
    tenantId: job.tenantId,
    jobId: job.id,
    number: 1,
    epoch: 1,
    claim: job.spec.claim,
    tasks: [{ rank: 0, clusterId, devices: null }],
    phase: 'Assigned',
    stop: null,
    outcome: null,
    exitCode: null,
    reason: 'fits',
    resumedFrom: null,
    lostDeviceSeconds: 0,
    createdAt: JOBS_NOW,
    startedAt: null,
    endedAt: null,
    ...change,
  };
}

export function checkpointOf(change: Partial<Checkpoint> = {}): Checkpoint {
  return {
    attemptId: nextTestId(),
    sequence: 1,
    manifestDigest: 'c'.repeat(64),
    sizeBytes: 1_000,
    progress: '',
    savedDeviceSeconds: 0,
    at: JOBS_NOW,
    ...change,
  };
}

/** Weight 1, no quota, no limits, a root. */
export function queueOf(change: Partial<Queue> = {}): Queue {
  const id = change.id ?? nextTestId();
  return {
    id,
    tenantId: DEFAULT_TENANT_ID,
    name: `queue-${id.slice(-6)}`,
    parentId: null,
    weight: 1,
    quota: {},
    borrowingLimit: null,
    lendingLimit: null,
    order: 'class-shortest',
    paused: false,
    createdAt: JOBS_NOW,
    revision: 1,
    ...change,
  };
}

/** Of priority 5, preempts and can be preempted. */
export function priorityClassOf(change: Partial<PriorityClass> = {}): PriorityClass {
  const id = change.id ?? nextTestId();
  return {
    id,
    tenantId: DEFAULT_TENANT_ID,
    name: `class-${id.slice(-6)}`,
    priority: 5,
    preemption: 'lower-priority',
    preemptible: true,
    createdAt: JOBS_NOW,
    revision: 1,
    ...change,
  };
}
