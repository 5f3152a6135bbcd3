/** Admin API: deployments. */

import { z } from 'zod';
import {
  CLUSTER_KINDS,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_QUEUE_NAME,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_ROUTING_POLICY,
  DEFAULT_SERVING_PRIORITY_CLASS,
  LOCAL_SCALING_RULES,
  PLACEMENT_PHASES,
  RECONCILE_RULES,
  REPLACE_RULES,
  REPLICA_PHASES,
  SPREAD_FIELDS,
} from '#domain';
import { routingPolicySchema } from '../federation/bundle.ts';
import { localScalingSchema, nodePreferencesSchema } from '../federation/desired.ts';
import { claimSchema, digestSchema, idSchema, labelsSchema, nameSchema } from '../primitives.ts';
import { rolloutPolicySchema, rolloutSchema } from './rollouts.ts';

export const REPLICAS_MAX = 10_000;

export const selectorSchema = z.strictObject({
  kinds: z.array(z.enum(CLUSTER_KINDS)).min(1).max(2).optional(),
  regions: z.array(z.string().min(1).max(63)).min(1).max(100).optional(),
  labels: labelsSchema.optional(),
  clusterNames: z.array(nameSchema).min(1).max(1_000).optional(),
});

export const SPREAD_GROUPS_MAX = 1_000;

/** Replicas lie in at least so many regions, zones or clusters; fewer replicas than that in one of its own each. */
export const spreadSchema = z.strictObject({
  by: z.enum(SPREAD_FIELDS),
  minGroups: z.int().min(1).max(SPREAD_GROUPS_MAX),
});

export const disconnectSchema = z.strictObject({
  lostAfterSeconds: z
    .int()
    .min(0)
    .max(86_400 * 30)
    .default(DEFAULT_DISCONNECT_POLICY.lostAfterSeconds),
  /** elsewhere: its replicas are placed in other clusters then; never: they are waited for. */
  replace: z.enum(REPLACE_RULES).default(DEFAULT_DISCONNECT_POLICY.replace),
  reconcile: z.enum(RECONCILE_RULES).default(DEFAULT_DISCONNECT_POLICY.reconcile),
});

const servedNameSchema = z
  .string()
  .min(1)
  .max(128)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/,
    'must start with a letter or digit and hold only letters, digits, ".", "_", ":", "/" or "-"',
  );

const routing = routingPolicySchema.shape;
/** What is left out is at its default. */
export const routingSchema = z.strictObject({
  pick: routing.pick.default(DEFAULT_ROUTING_POLICY.pick),
  spillMs: routing.spillMs.default(DEFAULT_ROUTING_POLICY.spillMs),
  spillRatio: routing.spillRatio.default(DEFAULT_ROUTING_POLICY.spillRatio),
  prefixHitMin: routing.prefixHitMin.default(DEFAULT_ROUTING_POLICY.prefixHitMin),
  explorationShare: routing.explorationShare.default(DEFAULT_ROUTING_POLICY.explorationShare),
});

const scaling = localScalingSchema.shape;
export const localScalingInputSchema = z.strictObject({
  replicasMax: scaling.replicasMax,
  rule: scaling.rule.default(LOCAL_SCALING_RULES[0]),
  targetInflight: scaling.targetInflight.default(4),
});

export const nodesSchema = z.strictObject({
  /** Labels that a node must have. */
  required: nodePreferencesSchema.shape.required.default({}),
  /** Labels that a node had better have. */
  preferred: nodePreferencesSchema.shape.preferred.default({}),
});

export const ADAPTERS_MAX = 64;

/** A LoRA adapter: a published version that is loaded beside the deployment's own. */
export const adapterSchema = z.strictObject({
  /** What clients give as `model`. */
  name: servedNameSchema,
  model: nameSchema,
  version: z.int().min(1),
});

/** How replicas are run and chosen inside a cluster. */
const servingShape = {
  /** Of the agents' own configuration; null: each agent's default. */
  engine: nameSchema.nullable(),
  routing: routingSchema,
  /** Null: agents start no replicas by themselves. */
  localScaling: localScalingInputSchema.nullable(),
  nodes: nodesSchema,
  adapters: z.array(adapterSchema).max(ADAPTERS_MAX),
};

/** `POST /api/v1/deployments[?dryRun=true]` */
export const createDeploymentSchema = z.strictObject({
  name: nameSchema,
  model: nameSchema,
  /** Version number; default: the newest published one. Not together with `alias`. */
  version: z.int().min(1).optional(),
  /** Follow this alias of the model: when it moves, a rollout begins. */
  alias: nameSchema.optional(),
  /** What clients give as `model`; default: the model's name. */
  servedModel: servedNameSchema.optional(),
  replicas: z.int().min(0).max(REPLICAS_MAX).default(1),
  /** Of each replica. `auto`: sized from the version and the devices that the selected clusters have. */
  claim: z
    .union([claimSchema, z.literal('auto')])
    .default({ deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } }),
  selector: selectorSchema.default({}),
  /** A replica that would break it waits. Null: replicas go wherever there is room. */
  spread: spreadSchema.nullable().default(null),
  disconnect: disconnectSchema.default(DEFAULT_DISCONNECT_POLICY),
  engine: servingShape.engine.default(null),
  routing: servingShape.routing.default(DEFAULT_ROUTING_POLICY),
  localScaling: servingShape.localScaling.default(null),
  nodes: servingShape.nodes.default({ required: {}, preferred: {} }),
  adapters: servingShape.adapters.default([]),
  rollout: rolloutPolicySchema.default(() => rolloutPolicySchema.parse(DEFAULT_ROLLOUT_POLICY)),
  /** Whose account its replicas are charged to. */
  queue: nameSchema.default(DEFAULT_QUEUE_NAME),
  priorityClass: nameSchema.default(DEFAULT_SERVING_PRIORITY_CLASS),
});
export type CreateDeployment = z.input<typeof createDeploymentSchema>;

/**
 * `PATCH /api/v1/deployments/{name}[?dryRun=true]`: scale, change version, change where. Another version begins a rollout;
 * an active one is Superseded. `rollout` is the policy from now on, for the rollout that this change begins too.
 */
export const updateDeploymentSchema = z.strictObject({
  replicas: z.int().min(0).max(REPLICAS_MAX).optional(),
  /** Pins the version: the deployment follows no alias any more. Not together with `alias`. */
  version: z.int().min(1).optional(),
  alias: nameSchema.optional(),
  selector: selectorSchema.optional(),
  /** Of replicas that are placed from then on: what runs is not moved. Null: spread no more. */
  spread: spreadSchema.nullable().optional(),
  disconnect: disconnectSchema.optional(),
  engine: servingShape.engine.optional(),
  routing: servingShape.routing.optional(),
  localScaling: servingShape.localScaling.optional(),
  nodes: servingShape.nodes.optional(),
  /** All of them: what is left out of the list is taken away. */
  adapters: servingShape.adapters.optional(),
  rollout: rolloutPolicySchema.optional(),
  queue: nameSchema.optional(),
  /** Also takes the number that the class has now. */
  priorityClass: nameSchema.optional(),
});
export type UpdateDeployment = z.input<typeof updateDeploymentSchema>;

export const replicaSchema = z.object({
  id: idSchema,
  cluster: nameSchema,
  version: z.int(),
  versionDigest: digestSchema,
  placementPhase: z.enum(PLACEMENT_PHASES),
  /** What the agent says; null before it said anything of this replica. */
  phase: z.enum(REPLICA_PHASES).nullable(),
  reason: z.string(),
});

export const deploymentSchema = z.object({
  id: idSchema,
  name: nameSchema,
  model: nameSchema,
  version: z.int(),
  versionDigest: digestSchema,
  servedModel: z.string(),
  replicas: z.int(),
  readyReplicas: z.int(),
  claim: claimSchema,
  selector: selectorSchema,
  spread: spreadSchema.nullable(),
  disconnect: disconnectSchema,
  engine: servingShape.engine,
  routing: routingPolicySchema,
  localScaling: localScalingSchema.nullable(),
  nodes: nodePreferencesSchema,
  /** With the versions' digests. */
  adapters: z.array(z.object({ ...adapterSchema.shape, versionDigest: digestSchema })),
  /** The alias that it follows; null when its version is pinned. */
  alias: nameSchema.nullable(),
  rolloutPolicy: rolloutPolicySchema,
  /** The newest rollout, active or over; null before the first. */
  rollout: rolloutSchema.nullable(),
  queue: nameSchema,
  priorityClass: nameSchema,
  /** 0..10: of its class when it was made or last changed. */
  priority: z.int(),
  deleting: z.boolean(),
  /** One sentence: what holds it up, or that all is as wanted. */
  status: z.string(),
  placements: z.array(replicaSchema),
  createdAt: z.iso.datetime(),
  revision: z.int(),
});
export type DeploymentDto = z.infer<typeof deploymentSchema>;

export const candidateSchema = z.object({
  cluster: nameSchema,
  score: z.number().nullable(),
  scores: z.record(z.string(), z.number()),
  rejectedBy: z.string().nullable(),
  rejectedBecause: z.string().nullable(),
});

/** The answer to `?dryRun=true` and of `GET …/explain`: nothing was changed. */
export const deploymentPlanSchema = z.object({
  deployment: nameSchema,
  outcome: z.string(),
  assign: z.array(z.object({ cluster: nameSchema, reason: z.string() })),
  remove: z.array(z.object({ replicaId: idSchema, cluster: nameSchema, reason: z.string() })),
  candidates: z.array(candidateSchema),
});
export type DeploymentPlanDto = z.infer<typeof deploymentPlanSchema>;

/** `GET /api/v1/deployments/{name}/replicas/{id}/logs`: text that grows; ends with the replica when it is followed. */
export const replicaLogsQuerySchema = z.strictObject({
  follow: z.enum(['true', 'false']).default('false'),
  /** Only so much of the end; default: all that is kept. */
  tailBytes: z.coerce.number().int().min(1).max(67_108_864).optional(),
});
export type ReplicaLogsQuery = z.output<typeof replicaLogsQuerySchema>;
