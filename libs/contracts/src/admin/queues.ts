/** Admin API: queues, priority classes, tenants, and what they used. */

import { z } from 'zod';
import {
  DEVICE_TYPES,
  type DeviceCounts,
  deviceCountsProblem,
  JOB_PHASES,
  PREEMPTION_POLICIES,
  PRIORITY_MAX,
  PRIORITY_MIN,
  QUEUE_ORDERS,
  QUEUE_WEIGHT_MAX,
  queueWeightProblem,
  TENANT_HOLDINGS,
} from '#domain';
import { daySchema, idSchema, nameSchema } from '../primitives.ts';

/** Whole devices by type: `{"nvidia.com/gpu": 8}`. */
export const deviceCountsSchema = z.record(z.string().max(64), z.number()).superRefine((counts, context) => {
  for (const [deviceType, count] of Object.entries(counts)) {
    const message = deviceCountsProblem({ [deviceType]: count } as DeviceCounts);
    if (message !== null) context.addIssue({ code: 'custom', path: [deviceType], message });
  }
}) as unknown as z.ZodType<DeviceCounts, Record<string, number>>;

const limitSchema = deviceCountsSchema.nullable();
const weightSchema = z
  .number()
  .superRefine((weight, context) => {
    const message = queueWeightProblem(weight);
    if (message !== null) context.addIssue({ code: 'custom', message });
  })
  .meta({ minimum: 0, maximum: QUEUE_WEIGHT_MAX });

/** `POST /api/v1/queues` */
export const createQueueSchema = z.strictObject({
  name: nameSchema,
  /** Name of the queue that it is part of; default: none, a root. */
  parent: nameSchema.optional(),
  weight: weightSchema.default(1),
  /** A type that is not named is what the queues below it add up to, and 0 where there are none. */
  quota: deviceCountsSchema.default({}),
  /** A type that is not named is unlimited; null: no limit at all. */
  borrowingLimit: limitSchema.default(null),
  lendingLimit: limitSchema.default(null),
  order: z.enum(QUEUE_ORDERS).default('class-shortest'),
  paused: z.boolean().default(false),
});
export type CreateQueue = z.input<typeof createQueueSchema>;

/** `PATCH /api/v1/queues/{name}`: what is left out stays. */
export const updateQueueSchema = z.strictObject({
  weight: weightSchema.optional(),
  quota: deviceCountsSchema.optional(),
  borrowingLimit: limitSchema.optional(),
  lendingLimit: limitSchema.optional(),
  order: z.enum(QUEUE_ORDERS).optional(),
  paused: z.boolean().optional(),
});
export type UpdateQueue = z.input<typeof updateQueueSchema>;

const countsSchema = z.partialRecord(z.enum(DEVICE_TYPES), z.number());

export const queueSchema = z.object({
  id: idSchema,
  name: nameSchema,
  parent: nameSchema.nullable(),
  weight: z.number(),
  quota: countsSchema,
  borrowingLimit: countsSchema.nullable(),
  lendingLimit: countsSchema.nullable(),
  order: z.enum(QUEUE_ORDERS),
  paused: z.boolean(),
  /** Devices that its jobs and deployments hold now, those of queues below it included. */
  usage: countsSchema,
  /** The part of `usage` above its quota. */
  borrowed: countsSchema,
  /** Of the fleet, the share of its dominant device type divided by its weight; null at weight 0 with any use. */
  share: z.number().nullable(),
  /** Jobs that wait in it, and jobs that hold devices. */
  length: z.int(),
  running: z.int(),
  createdAt: z.iso.datetime(),
  revision: z.int(),
  /** Taken, but not as it should be: a quota below what is used, or above what the fleet has. Only in answers to changes. */
  warning: z.string().optional(),
});
export type QueueDto = z.infer<typeof queueSchema>;

export const QUEUE_ENTRIES_SHOWN_MAX = 200;

/** `GET /api/v1/queues/{name}` */
export const queueDetailSchema = queueSchema.extend({
  /** In the order in which they are considered, at most 200 of `length`. */
  pending: z.array(
    z.object({
      job: nameSchema,
      priority: z.int(),
      phase: z.enum(JOB_PHASES),
      /** In the queue's own order, 1 is next; null: it waits for other jobs. */
      place: z.int().nullable(),
      reason: z.string(),
      queuedAt: z.iso.datetime().nullable(),
    }),
  ),
});
export type QueueDetailDto = z.infer<typeof queueDetailSchema>;

const prioritySchema = z.int().min(PRIORITY_MIN).max(PRIORITY_MAX);

/** `POST /api/v1/priority-classes` */
export const createPriorityClassSchema = z.strictObject({
  name: nameSchema,
  priority: prioritySchema,
  preemption: z.enum(PREEMPTION_POLICIES).default('lower-priority'),
  preemptible: z.boolean().default(true),
});
export type CreatePriorityClass = z.input<typeof createPriorityClassSchema>;

/** `PATCH /api/v1/priority-classes/{name}`: what was submitted before keeps its number. */
export const updatePriorityClassSchema = z.strictObject({
  priority: prioritySchema.optional(),
  preemption: z.enum(PREEMPTION_POLICIES).optional(),
  preemptible: z.boolean().optional(),
});
export type UpdatePriorityClass = z.input<typeof updatePriorityClassSchema>;

export const priorityClassSchema = z.object({
  id: idSchema,
  name: nameSchema,
  priority: z.int(),
  preemption: z.enum(PREEMPTION_POLICIES),
  preemptible: z.boolean(),
  createdAt: z.iso.datetime(),
  revision: z.int(),
});
export type PriorityClassDto = z.infer<typeof priorityClassSchema>;

/** `POST /api/v1/tenants`: also makes its queue `default` and the priority classes that every tenant has. */
export const createTenantSchema = z.strictObject({ name: nameSchema });

export const tenantSchema = z.object({
  id: idSchema,
  name: nameSchema,
  createdAt: z.iso.datetime(),
  /** Always 1: nothing of a tenant itself is ever changed. Its queues have revisions of their own. */
  revision: z.int(),
});
export type TenantDto = z.infer<typeof tenantSchema>;

/** `GET /api/v1/tenants/{name}` */
export const tenantDetailSchema = tenantSchema.extend({
  /** What is there of it, and keeps it from being removed; a kind of which there is nothing is left out. */
  holds: z.array(
    z.object({
      kind: z.enum(TENANT_HOLDINGS),
      count: z.int(),
      /** The first ones by name, at most 5. */
      names: z.array(nameSchema),
    }),
  ),
});
export type TenantDetailDto = z.infer<typeof tenantDetailSchema>;

/** `token` is a first admin key of the tenant, shown once. */
export const tenantCreatedSchema = tenantSchema.extend({ token: z.string() });
export type TenantCreated = z.infer<typeof tenantCreatedSchema>;

/** `?since=2030-01-31`: a UTC day, at the latest today; default: 30 days ago. */
export const usageQuerySchema = z.strictObject({ since: daySchema.optional() });

/** In accelerator-seconds: each second of each held device once, what runs now included. */
export const usageSchema = z.object({
  tenant: nameSchema,
  since: z.iso.date(),
  queues: z.array(
    z.object({
      /** Of one that is gone: `research (removed)`. */
      queue: z.string(),
      deviceType: z.enum(DEVICE_TYPES),
      jobDeviceSeconds: z.number(),
      servingDeviceSeconds: z.number(),
      /** Of the job seconds, those that were lost. */
      lostDeviceSeconds: z.number(),
    }),
  ),
  total: z.object({
    jobDeviceSeconds: z.number(),
    servingDeviceSeconds: z.number(),
    lostDeviceSeconds: z.number(),
  }),
});
export type UsageDto = z.infer<typeof usageSchema>;
