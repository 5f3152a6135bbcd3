/** Who pays, what they may use, and how important what they ask for is. */
import { DEVICE_TYPES, type DeviceType } from './devices.ts';
import { type Role, roleAllows } from './permissions.ts';

export interface Tenant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

/** What keeps a tenant from being removed, by kind. Its queues, classes and keys go with it. */
export const TENANT_HOLDINGS = ['budgets', 'clusters', 'deployments', 'jobs', 'models'] as const;

export interface TenantHolding {
  readonly kind: (typeof TENANT_HOLDINGS)[number];
  readonly count: number;
  /** The first ones by name, at most TENANT_HOLDING_NAMES_MAX. */
  readonly names: readonly string[];
}

export const TENANT_HOLDING_NAMES_MAX = 5;

/**
 * Whole devices by type. A type that is not named is unlimited (of a limit); of a quota it is what the queues below add up
 * to, and 0 where there are none.
 */
export type DeviceCounts = Readonly<Partial<Record<DeviceType, number>>>;

/** How a queue puts its own entries in order; see `libs/scheduling/src/workloads/orders.ts` for the formulas. */
export const QUEUE_ORDERS = ['fcfs', 'static-priority', 'dynamic-weighted', 'class-shortest', 'c-mu'] as const;
export type QueueOrder = (typeof QUEUE_ORDERS)[number];

/**
 * Where work waits and whose account it is charged to. Queues of a tenant form a tree; the roots of all tenants share the
 * fleet by weight. Serving and jobs are charged to one account (F13).
 */
export interface Queue {
  readonly id: string;
  readonly tenantId: string;
  /** DNS label, unique within the tenant. */
  readonly name: string;
  /** Of the same tenant; null: a root. At most QUEUE_DEPTH_MAX levels. */
  readonly parentId: string | null;
  /** Share of what is idle, against siblings. 0: only what nobody else wants (F07). Default 1, else 0.001 to 1,000. */
  readonly weight: number;
  /** What is its own: others may borrow it while it is idle, and it is reclaimed when wanted. */
  readonly quota: DeviceCounts;
  /** How much above its quota it may go; null: as far as there is room. */
  readonly borrowingLimit: DeviceCounts | null;
  /** How much of its idle quota others may use; null: all. */
  readonly lendingLimit: DeviceCounts | null;
  readonly order: QueueOrder;
  /** True: takes submissions, starts nothing. */
  readonly paused: boolean;
  readonly createdAt: Date;
  /** Optimistic lock, also the ETag. Starts at 1. */
  readonly revision: number;
}

export const DEFAULT_QUEUE_NAME = 'default';
/** The default tenant's queue `default`; its row exists from the jobs migration on. */
export const DEFAULT_QUEUE_ID = '00000000-0000-7000-8000-000000000002';
export const QUEUE_DEPTH_MAX = 3;
export const QUEUES_PER_TENANT_MAX = 200;
/** But for 0. Shares are divided by it, and stay numbers that somebody can read. */
export const QUEUE_WEIGHT_MIN = 0.001;
export const QUEUE_WEIGHT_MAX = 1_000;
/** Above any fleet; below it, sums of a thousand queues stay exact. */
export const QUOTA_MAX = 1_000_000_000;

export const PREEMPTION_POLICIES = ['lower-priority', 'never'] as const;
export type PreemptionPolicy = (typeof PREEMPTION_POLICIES)[number];

export const PRIORITY_MIN = 0;
export const PRIORITY_MAX = 10;

/** A named priority. What was submitted with it keeps the number that it had then. */
export interface PriorityClass {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  /** 0..10; higher is more important. */
  readonly priority: number;
  /** `never`: waits for room and takes none from others (P14). */
  readonly preemption: PreemptionPolicy;
  /** False: what has this class is never chosen as a victim (P15). */
  readonly preemptible: boolean;
  readonly createdAt: Date;
  readonly revision: number;
}

/** What is submitted with a class. */
export type ClassUse = 'job' | 'deployment';

/**
 * Why a role may not use a class, in half a sentence; null when it may. Whoever may change classes may use them all: they
 * could lift any bound by themselves. Others use none of `PRIORITY_MAX`, which takes room from everybody, and for jobs
 * none that is never preempted, which keeps that room for as long as it likes. Deployments are never preempted by
 * default, and their classes may say so.
 */
export function whyNotUsed(
  role: Role,
  { name, priority, preemptible }: Pick<PriorityClass, 'name' | 'priority' | 'preemptible'>,
  use: ClassUse,
): string | null {
  if (roleAllows(role, 'queues:write')) return null;
  const who = 'only a key that may change priority classes (queues:write) can use it';
  if (priority >= PRIORITY_MAX) return `the class ${name} has the highest priority there is; ${who}`;
  if (use === 'job' && !preemptible) return `jobs of the class ${name} are never preempted; ${who}`;
  return null;
}

/** What every tenant has from the start. Serving is not preempted: a request that is cut off costs more than it frees. */
export const DEFAULT_PRIORITY_CLASSES: readonly Pick<
  PriorityClass,
  'name' | 'priority' | 'preemption' | 'preemptible'
>[] = [
  { name: 'low', priority: 2, preemption: 'never', preemptible: true },
  { name: 'normal', priority: 5, preemption: 'lower-priority', preemptible: true },
  { name: 'high', priority: 8, preemption: 'lower-priority', preemptible: true },
  { name: 'serving', priority: 9, preemption: 'lower-priority', preemptible: false },
  { name: 'critical', priority: 10, preemption: 'lower-priority', preemptible: false },
];
export const DEFAULT_JOB_PRIORITY_CLASS = 'normal';
export const DEFAULT_SERVING_PRIORITY_CLASS = 'serving';

/** What a queue used of a device type in one UTC day. Each second of each held device is charged once (F12). */
export interface QueueUsage {
  readonly tenantId: string;
  readonly queueId: string;
  readonly deviceType: DeviceType;
  /** `YYYY-MM-DD`. */
  readonly day: string;
  readonly jobDeviceSeconds: number;
  readonly servingDeviceSeconds: number;
  /** Of the job seconds, those that were lost: run, and not in a checkpoint when the attempt ended early. */
  readonly lostDeviceSeconds: number;
}

/** Why a number cannot be a queue's weight, or null when it can (F14). */
export function queueWeightProblem(weight: number): string | null {
  if (weight === 0 || (weight >= QUEUE_WEIGHT_MIN && weight <= QUEUE_WEIGHT_MAX)) return null;
  return `must be 0, or from ${QUEUE_WEIGHT_MIN} to ${QUEUE_WEIGHT_MAX}`;
}

/** Why counts cannot be a quota or a limit, or null when they can (F14). */
export function deviceCountsProblem(counts: DeviceCounts): string | null {
  for (const [deviceType, count] of Object.entries(counts)) {
    if (!(DEVICE_TYPES as readonly string[]).includes(deviceType)) {
      return `${deviceType} is no device type; known are ${DEVICE_TYPES.join(', ')}`;
    }
    if (!Number.isInteger(count)) return `${deviceType} must be a whole number`;
    if (count < 0) return `${deviceType} must not be negative`;
    if (count > QUOTA_MAX) return `${deviceType} must be at most ${QUOTA_MAX}`;
  }
  return null;
}

/** The device counts of `count` claims. */
export function addCounts(left: DeviceCounts, right: DeviceCounts, sign: 1 | -1 = 1): DeviceCounts {
  const sum: Partial<Record<DeviceType, number>> = { ...left };
  for (const [deviceType, count] of Object.entries(right) as [DeviceType, number][]) {
    sum[deviceType] = (sum[deviceType] ?? 0) + sign * count;
  }
  return sum;
}
