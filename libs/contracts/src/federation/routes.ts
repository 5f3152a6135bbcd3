/**
 * Conversation: routing view. Hint on `atoll.v1.routes` (control plane → gateways, core, `{ sequence }`), whole view by
 * request–reply on `atoll.v1.routes.fetch`, zstd. A gap in the sequence needs no care: the view is whole. Gateways also
 * fetch at start, on reconnect and every 30 s. Bound: 8 MiB unpacked, 1 MiB on the wire.
 *
 * `atoll.v1.links` (control plane → gateways, core): NATS said that a cluster disconnected. A hint: gateways stop
 * choosing its replicas until the next heartbeat.
 */

import { z } from 'zod';
import { CLUSTER_KINDS, CLUSTER_PHASES, ROLES } from '#domain';
import { digestSchema, endpointSchema, idSchema, nameSchema, publicKeySchema } from '../primitives.ts';

export const ROUTES_BYTES_MAX = 8_388_608;
export const ROUTES_REFETCH_INTERVAL_MS = 30_000;

export const routesHintSchema = z.object({ sequence: z.int().min(0) });
export const routesFetchSchema = z.object({ have: z.int().min(0) });

export const routesViewSchema = z.object({
  sequence: z.int().min(0),
  keys: z.array(
    z.object({
      publicId: z.string().min(1).max(32),
      secretHash: digestSchema,
      tenantId: idSchema,
      role: z.enum(ROLES),
      models: z.array(z.string()).nullable(),
      expiresAtMs: z.int().nullable(),
      /** Absent in views of a control plane, or a file, from before gateways charged. */
      budgetIds: z.array(idSchema).max(16).default([]),
    }),
  ),
  budgets: z.array(z.object({ budgetId: idSchema, title: z.string().max(300) })).default([]),
  clusters: z.array(
    z.object({
      id: idSchema,
      name: nameSchema,
      kind: z.enum(CLUSTER_KINDS),
      region: z.string(),
      phase: z.enum(CLUSTER_PHASES),
      endpoint: endpointSchema.nullable(),
      publicKey: publicKeySchema,
    }),
  ),
  deployments: z.array(
    z.object({
      id: idSchema,
      tenantId: idSchema,
      name: nameSchema,
      servedModel: z.string(),
      adapters: z.array(z.string()).optional(),
      versionDigest: digestSchema,
      createdAtSeconds: z.int(),
      replicas: z.array(
        z.object({
          replicaId: idSchema,
          clusterId: idSchema,
          versionDigest: digestSchema,
          /** 0 in views of a control plane, or a file, from before versions were numbered here. */
          versionNumber: z.int().min(0).default(0),
          ready: z.boolean(),
        }),
      ),
    }),
  ),
});

export const clusterDisconnectedSchema = z.object({ clusterId: idSchema, connected: z.boolean() });
export type ClusterDisconnected = z.infer<typeof clusterDisconnectedSchema>;
