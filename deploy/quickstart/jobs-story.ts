/**
 * The third part of the story: a job computes and checkpoints in the datacentre, a more important one takes its devices,
 * and it goes on from its checkpoint when they are free again. Through the admin API only; the jobs are real processes.
 */
import { join } from 'node:path';
import type { AdminClient, CreateJob, JobDto } from '#contracts';
import { PROJECT_ROOT } from './instance.ts';
import { type Narrator, StepError } from './narrator.ts';
import { until } from './story.ts';

/** Counts steps, saves them when asked, goes on from what it saved; see the file. */
const PROGRAM = join(PROJECT_ROOT, 'test/fixtures/jobs/count.mjs');
const CENTRAL = 'dc-1';
const STEPS = 60;
const STEP_MS = 100;
const JOB_TIMEOUT_MS = 60_000;
/** The lower job has done something worth keeping when the higher one comes. */
const PROGRESS_BEFORE_PREEMPTION = /step ([1-9]\d+) of/;

type Report = (progress: string) => void;

export interface PreemptionProof {
  /** What the victim had told of itself when it was asked to make room. */
  readonly checkpoint: string;
  readonly checkpointBytes: number;
  readonly lostDeviceSeconds: number;
  /** From the submission of the higher job to its first step. */
  readonly waitedSeconds: number;
  /** The first thing that the resumed attempt said. */
  readonly resumedFrom: string;
  readonly attempts: number;
  readonly output: string;
}

/**
 * A low job that takes every free device of the central cluster, so that room has to be made for a higher one. Null when
 * there is none: jobs of an earlier quickstart go on there.
 */
export async function submitLow(admin: AdminClient, name: string, report: Report): Promise<JobDto | null> {
  const devices = await freeDevices(admin, name);
  if (devices === 0) return null;
  await admin.submitJob({ ...countingJob(name, devices, STEPS), priorityClass: 'low' });
  return awaitJob(admin, name, report, ({ phase, progress }) => {
    return phase === 'Running' && PROGRESS_BEFORE_PREEMPTION.test(progress ?? '');
  });
}

/** Submits a high job, waits until it is done and the low one after it, and proves that nothing saved was done twice. */
export async function preempt(
  admin: AdminClient,
  names: { readonly low: string; readonly high: string },
  narrator: Narrator,
  report: Report,
): Promise<PreemptionProof> {
  const submittedAtMs = performance.now();
  await admin.submitJob({ ...countingJob(names.high, 1, 5), priorityClass: 'high' });
  await awaitJob(admin, names.high, report, ({ phase }) => phase === 'Running' || phase === 'Succeeded');
  const waitedSeconds = (performance.now() - submittedAtMs) / 1_000;
  const preempted = await admin.job(names.low);
  const { checkpoint } = preempted;
  if (checkpoint === null) {
    throw new StepError(
      `${names.low} was stopped without a checkpoint`,
      'Look at the log of dc-1, in logs/dc-1.log of the quickstart’s folder.',
    );
  }
  narrator.line(`      ${names.low}: saved "${checkpoint.progress}" (${checkpoint.sizeBytes} bytes) and made room`);
  narrator.line(`      ${names.high}: runs ${waitedSeconds.toFixed(1)} s after it was submitted`);
  await awaitJob(admin, names.high, report, ({ phase }) => phase === 'Succeeded');
  const done = await awaitJob(admin, names.low, report, ({ phase }) => phase === 'Succeeded');
  const output = await admin.jobLog(names.low, { rank: 0 });
  const resumedFrom = /resumed from (.*)/.exec(output)?.[1] ?? '';
  return {
    checkpoint: checkpoint.progress,
    checkpointBytes: checkpoint.sizeBytes,
    lostDeviceSeconds: done.usage.lostDeviceSeconds,
    waitedSeconds,
    resumedFrom,
    attempts: done.attempts,
    output,
  };
}

/** What must be true for nothing to have been lost since the checkpoint. */
export function provePreemption(proof: PreemptionProof): void {
  const faults = [
    ...(proof.attempts === 2 ? [] : [`the preempted job took ${proof.attempts} attempts, not 2`]),
    ...(proof.resumedFrom === proof.checkpoint
      ? []
      : [`it resumed from "${proof.resumedFrom}", not from "${proof.checkpoint}"`]),
  ];
  if (faults.length > 0)
    throw new StepError(`the preemption is not right: ${faults.join('; ')}`, 'Look at the jobs’ logs.');
}

function countingJob(name: string, devices: number, steps: number): CreateJob {
  return {
    name,
    kind: 'command',
    claim: { deviceType: 'cpu', count: devices, schedulingPolicy: { topologyScope: 'node' } },
    selector: { clusterNames: [CENTRAL] },
    command: [process.execPath, PROGRAM, '--steps', String(steps), '--step-ms', String(STEP_MS)],
    checkpoint: { mode: 'file' },
    graceSeconds: 20,
    expectedSeconds: Math.ceil((steps * STEP_MS) / 1_000),
  };
}

/** As many as a low job would get at once. */
async function freeDevices(admin: AdminClient, name: string): Promise<number> {
  for (let devices = await centralDevices(admin); devices > 0; devices -= 1) {
    const plan = await admin.planJob({ ...countingJob(name, devices, STEPS), priorityClass: 'low' });
    if (plan.state === 'started') return devices;
  }
  return 0;
}

async function centralDevices(admin: AdminClient): Promise<number> {
  const { observed } = await admin.cluster(CENTRAL);
  const [node] = observed?.nodes ?? [];
  return Math.max(1, node?.devices.filter(({ deviceType }) => deviceType === 'cpu').length ?? 0);
}

async function awaitJob(
  admin: AdminClient,
  name: string,
  report: Report,
  isSo: (job: JobDto) => boolean,
): Promise<JobDto> {
  let job: JobDto | null = null;
  await until(JOB_TIMEOUT_MS, async () => {
    job = await admin.job(name);
    report(`${name}: ${job.phase} ${job.progress ?? ''} ${job.reason}`.trim());
    if (job.phase === 'Failed' || job.phase === 'Cancelled') throw new Error(job.reason);
    return isSo(job);
  }).catch((error: unknown) => {
    const why = job === null ? String(error) : `${job.phase}: ${job.reason}`;
    throw new StepError(
      `job ${name} is not where it should be (${why})`,
      'Start again; ./atoll quickstart --fresh forgets the jobs of earlier ones.',
    );
  });
  return job!;
}
