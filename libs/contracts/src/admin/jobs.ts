/** Admin API: jobs, what they are made of, and why they are where they are. */

import { z } from 'zod';
import {
  ATTEMPT_OUTCOMES,
  ATTEMPT_PHASES,
  DEFAULT_JOB_PRIORITY_CLASS,
  DEFAULT_QUEUE_NAME,
  DEPENDENCY_CONDITIONS,
  DEVICE_TYPES,
  GANG_SIZE_MAX,
  JOB_DEPENDENCIES_MAX,
  JOB_KINDS,
  JOB_PHASES,
  JOB_TEMPLATES,
  LAUNCHERS,
  LOST_AFTER_SECONDS_MIN,
  mountNameProblem,
  PREEMPTION_POLICIES,
  STOP_CAUSES,
  TASK_PHASES,
  TOPOLOGY_SCOPES,
} from '#domain';
import { checkpointContractSchema } from '../federation/desired.ts';
import {
  claimSchema,
  digestSchema,
  idSchema,
  nameSchema,
  nodeDevicesSchema,
  versionFileSchema,
} from '../primitives.ts';
import { candidateSchema, selectorSchema } from './deployments.ts';
import { pageQuerySchema } from './problems.ts';

const YEAR_SECONDS = 31_536_000;
export const JOB_MOUNTS_MAX = 16;
export const ENVIRONMENT_ENTRIES_MAX = 128;
/** What a cluster's document spends on each member besides command and environment. */
const MEMBER_BYTES = 1_200;
/** Of the 4 MiB that a document holds (see `federation/desired.ts`). */
const MEMBERS_BYTES_MAX = 3_145_728;

const secondsSchema = (min: number, max: number) => z.int().min(min).max(max);

/** Names that the agent sets itself; see docs/jobs.md. */
const RESERVED_VARIABLE =
  /^(ATOLL_.*|RANK|WORLD_SIZE|LOCAL_RANK|MASTER_ADDR|MASTER_PORT|(CUDA|ASCEND_RT|MLU)_VISIBLE_DEVICES)$/;

export const environmentSchema = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be a variable name: letters, digits and "_", no digit first')
      .refine((name) => !RESERVED_VARIABLE.test(name), 'is set by Atoll itself; choose another name'),
    textSchema(4_096),
  )
  .refine(
    (entries) => Object.keys(entries).length <= ENVIRONMENT_ENTRIES_MAX,
    `at most ${ENVIRONMENT_ENTRIES_MAX} entries`,
  );

export const gangSchema = z
  .strictObject({
    size: z.int().min(1).max(GANG_SIZE_MAX).default(1),
    /** Starts with at least so many when not all fit. Default: all. */
    minimum: z.int().min(1).max(GANG_SIZE_MAX).optional(),
    /** Where all members must (or, with `required: false`, should) be together. */
    topology: z.strictObject({ scope: z.enum(TOPOLOGY_SCOPES), required: z.boolean().default(true) }).optional(),
    spansClusters: z.boolean().default(false),
  })
  .refine(({ size, minimum = size }) => minimum <= size, { path: ['minimum'], message: 'must be at most size' });

export const jobMountSchema = z
  .strictObject({
    model: nameSchema,
    /** Number; default: the newest published one. Not together with `alias`. */
    version: z.int().min(1).optional(),
    /** The version that the alias points at now. */
    alias: nameSchema.optional(),
  })
  .refine(({ version, alias }) => version === undefined || alias === undefined, {
    path: ['alias'],
    message: 'cannot be given together with version; give one of them',
  });

const templateSchema = z.strictObject({
  name: z.enum(JOB_TEMPLATES.map(({ name }) => name) as [string, ...string[]]),
  parameters: z.record(z.string().max(64), textSchema(4_096)).default({}),
});

/** Claim `auto`: sized from the mount `base` and the devices that are there. */
const AUTO = 'auto';

const createJobShape = {
  name: nameSchema,
  kind: z.enum(JOB_KINDS).default('command'),
  queue: nameSchema.default(DEFAULT_QUEUE_NAME),
  priorityClass: nameSchema.default(DEFAULT_JOB_PRIORITY_CLASS),
  dependsOn: z
    .array(z.strictObject({ job: nameSchema, when: z.enum(DEPENDENCY_CONDITIONS).default('success') }))
    .max(JOB_DEPENDENCIES_MAX)
    .default([]),
  tasks: gangSchema.default({ size: 1, spansClusters: false }),
  /** Of each member. */
  claim: z
    .union([claimSchema, z.literal(AUTO)], {
      error: `must be "auto", or a claim such as {"deviceType": "cpu", "count": 1} of ${DEVICE_TYPES.join(', ')}`,
    })
    .default({ deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } }),
  selector: selectorSchema.default({}),
  launcher: z.enum(LAUNCHERS).default('plain'),
  /** Program and arguments. Either this or `template`. */
  command: z
    .array(textSchema(4_096))
    .min(1)
    .max(256)
    .refine(([program]) => program !== '', { path: [0], message: 'must name a program' })
    .optional(),
  template: templateSchema.optional(),
  environment: environmentSchema.default({}),
  /** Name → version that is laid into the working folder, read-only. `base` is what a fine-tune starts from. */
  mounts: z
    .record(nameSchema, jobMountSchema)
    .superRefine(refuseTakenNames)
    .refine((mounts) => Object.keys(mounts).length <= JOB_MOUNTS_MAX, `at most ${JOB_MOUNTS_MAX} mounts`)
    .default({}),
  checkpoint: z
    .strictObject({
      mode: checkpointContractSchema.shape.mode.default('none'),
      signal: checkpointContractSchema.shape.signal.default('SIGUSR1'),
      intervalSeconds: checkpointContractSchema.shape.intervalSeconds.default(null),
    })
    .default({ mode: 'none', signal: 'SIGUSR1', intervalSeconds: null }),
  graceSeconds: secondsSchema(1, 86_400).default(60),
  retry: z
    .strictObject({
      limit: z.int().min(0).max(100).default(3),
      backoffSeconds: secondsSchema(0, 3_600).default(10),
      exitCodes: z.array(z.int().min(1).max(255)).min(1).max(255).nullable().default(null),
    })
    .default({ limit: 3, backoffSeconds: 10, exitCodes: null }),
  startDeadlineSeconds: secondsSchema(1, 10 * YEAR_SECONDS)
    .nullable()
    .default(null),
  runDeadlineSeconds: secondsSchema(1, 10 * YEAR_SECONDS)
    .nullable()
    .default(null),
  ttlSeconds: secondsSchema(0, 10 * YEAR_SECONDS).default(604_800),
  output: z
    .strictObject({
      required: z.boolean().default(false),
      /** Publishing needs an output, so it is required then. */
      publish: z.strictObject({ model: nameSchema, alias: nameSchema.optional() }).optional(),
    })
    .default({ required: false }),
  expectedSeconds: secondsSchema(1, 10 * YEAR_SECONDS)
    .nullable()
    .default(null),
  minimumRunSeconds: secondsSchema(0, 30 * 86_400).default(0),
  preemptionsMax: z.int().min(0).max(1_000).default(5),
  protectedSeconds: secondsSchema(0, 30 * 86_400).default(3_600),
  lostAfterSeconds: z
    .int()
    .min(
      LOST_AFTER_SECONDS_MIN,
      `must be at least ${LOST_AFTER_SECONDS_MIN}: with less, one question of an agent that got lost would end the attempt`,
    )
    .max(30 * 86_400 - 60)
    .default(300),
};

/** `POST /api/v1/jobs[?dryRun=true]`. Defaults are those of `JobSpec` of the domain. */
export const createJobSchema = z.strictObject(createJobShape).superRefine((job, context) => {
  const wrong = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
  if ((job.command === undefined) === (job.template === undefined)) {
    wrong('command', 'give a command or a template: one of the two');
  }
  if (job.claim === AUTO && job.mounts.base === undefined) {
    wrong('claim', 'auto sizes the claim from the mount "base", which is not given');
  }
  if (job.output.publish !== undefined && job.kind !== 'fine-tune') {
    wrong('output', 'only the output of a fine-tune is published as a version; set kind to fine-tune');
  }
  if (new Set(job.dependsOn.map((each) => each.job)).size < job.dependsOn.length) {
    wrong('dependsOn', 'names a job twice');
  }
  const memberBytes = MEMBER_BYTES + sizeOf(job.command) + sizeOf(job.template) + sizeOf(job.environment);
  if (memberBytes * job.tasks.size > MEMBERS_BYTES_MAX) {
    const each = Math.floor(MEMBERS_BYTES_MAX / job.tasks.size) - MEMBER_BYTES;
    const most = Math.floor(MEMBERS_BYTES_MAX / memberBytes);
    wrong(
      'tasks',
      `${job.tasks.size} members with this command and environment are more than one document carries; ${
        each > 0 ? `use at most ${each} bytes for both, or ` : ''
      }at most ${most} members`,
    );
  }
});
export type CreateJob = z.input<typeof createJobSchema>;

function sizeOf(value: unknown): number {
  return value === undefined ? 0 : new TextEncoder().encode(JSON.stringify(value)).length;
}

/** Text without NUL, which no process can be given. */
function textSchema(charactersMax: number) {
  return z
    .string()
    .max(charactersMax)
    .refine((text) => !text.includes('\0'), 'must not contain NUL');
}

function refuseTakenNames(mounts: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  for (const name of Object.keys(mounts)) {
    const message = mountNameProblem(name);
    if (message !== null) context.addIssue({ code: 'custom', path: [name], message });
  }
}

const timeSchema = z.iso.datetime();

export const jobCheckpointSchema = z.object({
  attemptId: idSchema,
  sequence: z.int(),
  manifestDigest: digestSchema,
  sizeBytes: z.int(),
  /** The command's own words about how far it is. */
  progress: z.string(),
  savedDeviceSeconds: z.number(),
  at: timeSchema,
});
export type JobCheckpointDto = z.infer<typeof jobCheckpointSchema>;

/** Where one member runs or would run. Devices are null where the cluster binds by itself. */
export const jobTaskBindingSchema = z.object({
  rank: z.int(),
  cluster: nameSchema,
  devices: z.array(nodeDevicesSchema).nullable(),
});

/** Of a job: what is so, since when, and why, each by itself. */
export const JOB_CONDITIONS = ['DependenciesMet', 'Scheduled', 'Running', 'Checkpointed', 'Ended'] as const;
export const jobConditionSchema = z.object({
  type: z.enum(JOB_CONDITIONS),
  status: z.enum(['True', 'False']),
  reason: z.string(),
  /** Null when it was never otherwise, or nobody knows since when. */
  since: timeSchema.nullable(),
});
export type JobConditionDto = z.infer<typeof jobConditionSchema>;

export const jobSchema = z.object({
  id: idSchema,
  name: nameSchema,
  kind: z.enum(JOB_KINDS),
  queue: nameSchema,
  priorityClass: nameSchema,
  /** 0..10, of its class when it was submitted, like the next two. */
  priority: z.int(),
  preemption: z.enum(PREEMPTION_POLICIES),
  preemptible: z.boolean(),
  phase: z.enum(JOB_PHASES),
  /** One sentence: why it is in this phase. */
  reason: z.string(),
  phaseSince: timeSchema,
  conditions: z.array(jobConditionSchema),
  /**
   * In its queue by the newest stored decision, 1 is next; `explain` and the queue itself know it as it is now. Null when
   * it does not wait there or nothing has been decided yet.
   */
  place: z.int().nullable(),
  suspended: z.boolean(),
  cancelRequested: z.boolean(),
  dependsOn: z.array(
    z.object({ job: nameSchema, when: z.enum(DEPENDENCY_CONDITIONS), phase: z.enum(JOB_PHASES).nullable() }),
  ),
  attempts: z.int(),
  failures: z.int(),
  preemptions: z.int(),
  /** Where the members of the live attempt are; empty when there is none. */
  tasks: z.array(jobTaskBindingSchema),
  /** What its first member last said of how far it is; null when it runs nowhere or said nothing. */
  progress: z.string().nullable(),
  checkpoint: jobCheckpointSchema.nullable(),
  nomination: z.object({ tasks: z.array(jobTaskBindingSchema), since: timeSchema }).nullable(),
  usage: z.object({ ranSeconds: z.number(), deviceSeconds: z.number(), lostDeviceSeconds: z.number() }),
  outputDigest: digestSchema.nullable(),
  /** What its output was published as. */
  published: z.object({ model: nameSchema, version: z.int() }).nullable(),
  specification: z.object({
    tasks: z.object({
      size: z.int(),
      minimum: z.int(),
      topology: z.object({ scope: z.enum(TOPOLOGY_SCOPES), required: z.boolean() }).nullable(),
      spansClusters: z.boolean(),
    }),
    claim: claimSchema,
    selector: selectorSchema,
    launcher: z.enum(LAUNCHERS),
    command: z.array(z.string()),
    /** Values are hidden from keys that may not submit jobs. */
    environment: z.record(z.string(), z.string()),
    mounts: z.array(z.object({ name: nameSchema, model: nameSchema, version: z.int() })),
    checkpoint: checkpointContractSchema,
    graceSeconds: z.int(),
    retry: z.object({ limit: z.int(), backoffSeconds: z.int(), exitCodes: z.array(z.int()).nullable() }),
    startDeadlineSeconds: z.int().nullable(),
    runDeadlineSeconds: z.int().nullable(),
    ttlSeconds: z.int(),
    output: z.object({
      required: z.boolean(),
      publish: z.object({ model: nameSchema, alias: nameSchema.nullable() }).nullable(),
    }),
    expectedSeconds: z.int().nullable(),
    minimumRunSeconds: z.int(),
    preemptionsMax: z.int(),
    protectedSeconds: z.int(),
    lostAfterSeconds: z.int(),
  }),
  retryAt: timeSchema.nullable(),
  queuedAt: timeSchema.nullable(),
  startedAt: timeSchema.nullable(),
  endedAt: timeSchema.nullable(),
  createdAt: timeSchema,
  revision: z.int(),
  /** Taken, but not as it should be: a claim that can never fit, for one. Only in the answer to a submission. */
  warning: z.string().optional(),
});
export type JobDto = z.infer<typeof jobSchema>;

/** `GET /api/v1/jobs?queue=&phase=`: `phase` may be several, separated by commas. */
export const jobsQuerySchema = pageQuerySchema.extend({
  queue: nameSchema.optional(),
  phase: z
    .string()
    .max(200)
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(JOB_PHASES)).min(1).max(JOB_PHASES.length))
    .optional(),
});

export const attemptSchema = z.object({
  id: idSchema,
  number: z.int(),
  phase: z.enum(ATTEMPT_PHASES),
  outcome: z.enum(ATTEMPT_OUTCOMES).nullable(),
  exitCode: z.int().nullable(),
  reason: z.string(),
  stop: z
    .object({ cause: z.enum(STOP_CAUSES), reason: z.string(), byJob: z.string().nullable(), at: timeSchema })
    .nullable(),
  tasks: z.array(
    jobTaskBindingSchema.extend({
      /** What the agent says; null before it said anything, and when its cluster is out of contact. */
      phase: z.enum(TASK_PHASES).nullable(),
      reason: z.string(),
      ranSeconds: z.number().nullable(),
      progress: z.string(),
    }),
  ),
  resumedFrom: jobCheckpointSchema.nullable(),
  lostDeviceSeconds: z.number(),
  createdAt: timeSchema,
  startedAt: timeSchema.nullable(),
  endedAt: timeSchema.nullable(),
});
export type AttemptDto = z.infer<typeof attemptSchema>;

export const jobEventSchema = z.object({
  id: idSchema,
  kind: z.string(),
  message: z.string(),
  attemptId: idSchema.nullable(),
  at: timeSchema,
});
export type JobEventDto = z.infer<typeof jobEventSchema>;

/** Who makes room, and what that costs. */
export const jobVictimSchema = z.object({
  /** Jobs of other tenants are not named. */
  job: z.string(),
  priority: z.int(),
  lostDeviceSeconds: z.number(),
});

/** What the scheduler would do with it now: the answer to `?dryRun=true`. Nothing was changed. */
export const jobPlanSchema = z.object({
  job: nameSchema,
  state: z.enum(['started', 'nominated', 'waiting', 'held', 'unschedulable']),
  reason: z.string(),
  /** Where it would run; empty when it would wait. */
  tasks: z.array(jobTaskBindingSchema),
  place: z.int().nullable(),
  /** When it starts at the latest, if what runs keeps its word; null when that cannot be told. */
  startsBy: timeSchema.nullable(),
  victims: z.array(jobVictimSchema),
  /** What would have to change for it to run, each a sentence. */
  changes: z.array(z.string()),
  candidates: z.array(candidateSchema),
  /** Of a claim that said `auto`: what it was worked out to, and why nothing smaller fits. */
  sized: z.string().optional(),
  warning: z.string().optional(),
});
export type JobPlanDto = z.infer<typeof jobPlanSchema>;

/** A stored decision about a job. */
export const jobDecisionSchema = z.object({
  outcome: z.string(),
  decidedAt: timeSchema,
  place: z.int().nullable(),
  startsBy: timeSchema.nullable(),
  victims: z.array(jobVictimSchema),
  changes: z.array(z.string()),
  candidates: z.array(candidateSchema),
});

/** `GET /api/v1/jobs/{name}/explain` */
export const jobExplainSchema = z.object({
  job: nameSchema,
  phase: z.enum(JOB_PHASES),
  /** The whole of it in one sentence. */
  sentence: z.string(),
  place: z.int().nullable(),
  startsBy: timeSchema.nullable(),
  /** Who was stopped for it. */
  victims: z.array(jobVictimSchema),
  /** By whom it was stopped, newest first, and what it lost. */
  preemptedBy: z.array(
    z.object({ job: z.string().nullable(), reason: z.string(), lostDeviceSeconds: z.number(), at: timeSchema }),
  ),
  changes: z.array(z.string()),
  candidates: z.array(candidateSchema),
  /** Newest first, at most 20. */
  decisions: z.array(jobDecisionSchema),
  /** Newest first. */
  attempts: z.array(attemptSchema),
});
export type JobExplainDto = z.infer<typeof jobExplainSchema>;

/** `GET /api/v1/jobs/{name}/logs`: text that grows; ends when the task did, unless only what is there is asked for. */
export const jobLogsQuerySchema = z.strictObject({
  rank: z.coerce
    .number()
    .int()
    .min(0)
    .max(GANG_SIZE_MAX - 1)
    .default(0),
  /** Number; default: the newest. */
  attempt: z.coerce.number().int().min(1).optional(),
  follow: z.enum(['true', 'false']).default('false'),
  /** Only so much of the end; default: all that is kept. */
  tailBytes: z.coerce.number().int().min(1).max(10_485_760).optional(),
});
export type JobLogsQuery = z.output<typeof jobLogsQuerySchema>;

/** `GET /api/v1/jobs/{name}/artifacts` */
export const jobArtifactsSchema = z.object({
  job: nameSchema,
  outputDigest: digestSchema.nullable(),
  files: z.array(versionFileSchema),
});
export type JobArtifactsDto = z.infer<typeof jobArtifactsSchema>;
