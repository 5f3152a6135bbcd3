/**
 * Conversation: offline bundle. Subject `atoll.v1.<cluster>.bundle`, agent → control plane, request–reply; any control
 * plane may answer from Postgres. Asked at each connect and every 30 s, so a revoked key is unknown at the edge within that
 * while there is contact. The text is signed as it stands: Ed25519 over BUNDLE_SIGNATURE_CONTEXT and its UTF-8 bytes, by
 * the key whose public half the desired-fetch reply names. Dedupe: `sequence`. Bound: 8 MiB of text. Owner: the control plane.
 */
import { z } from 'zod';
import { BUDGET_PERIODS, REPLICA_PICKS, ROLES } from '#domain';
import { digestSchema, idSchema, nameSchema } from '../primitives.ts';

export const BUNDLE_BYTES_MAX = 8_388_608;
export const BUNDLE_REFETCH_INTERVAL_MS = 30_000;

export const routingPolicySchema = z.strictObject({
  pick: z.enum(REPLICA_PICKS),
  spillMs: z.number().min(0).max(600_000),
  spillRatio: z.number().min(0).max(100),
  prefixHitMin: z.number().min(0).max(1),
  explorationShare: z.number().min(0).max(1),
});

export const adapterReferenceSchema = z.strictObject({ name: z.string().min(1).max(128), versionDigest: digestSchema });

export const bundleFetchSchema = z.object({
  /** SHA-256 of the text that is here, hex; null: none. */
  have: digestSchema.nullable(),
});

export type BundleFetch = z.infer<typeof bundleFetchSchema>;

/** `unchanged`: what is here is still the newest, and is issued anew only once it is an hour old. */
export const bundleReplySchema = z.discriminatedUnion('answer', [
  z.object({ answer: z.literal('unchanged') }),
  z.object({
    answer: z.literal('bundle'),
    text: z.string().max(BUNDLE_BYTES_MAX),
    /** Base64url. */
    signature: z.string().max(128),
  }),
]);
export type BundleReply = z.infer<typeof bundleReplySchema>;

/** What the text holds, as JSON. */
export const offlineBundleSchema = z.object({
  clusterId: idSchema,
  issuedAt: z.iso.datetime(),
  validForSeconds: z.int().min(1),
  sequence: z.int().min(0),
  keyPepper: z.string().min(16).max(128),
  keys: z.array(
    z.object({
      publicId: z.string().min(1).max(32),
      offlineHash: digestSchema.nullable(),
      tenantId: idSchema,
      role: z.enum(ROLES),
      models: z.array(z.string()).nullable(),
      expiresAtMs: z.int().nullable(),
      budgetIds: z.array(idSchema).max(16),
    }),
  ),
  deployments: z.array(
    z.object({
      deploymentId: idSchema,
      tenantId: idSchema,
      name: nameSchema,
      servedModel: z.string(),
      versionDigest: digestSchema,
      versionNumber: z.int().min(0),
      adapters: z.array(adapterReferenceSchema).max(64),
      routing: routingPolicySchema,
      createdAtSeconds: z.int(),
    }),
  ),
  budgets: z.array(z.object({ budgetId: idSchema, title: z.string().max(300), period: z.enum(BUDGET_PERIODS) })),
});
