/** Admin API: API keys. */

import { z } from 'zod';
import { ROLES } from '#domain';
import { idSchema, nameSchema } from '../primitives.ts';

/** `POST /api/v1/api-keys` */
export const createApiKeySchema = z.strictObject({
  name: nameSchema,
  role: z.enum(ROLES).default('inference'),
  /** Served models that an inference call may name; default: all. */
  models: z.array(z.string().min(1).max(128)).min(1).max(1_000).nullable().default(null),
  /** Default: never. At most 10 years. */
  expiresInSeconds: z.int().min(60).max(315_360_000).nullable().default(null),
});
export type CreateApiKey = z.input<typeof createApiKeySchema>;

export const apiKeySchema = z.object({
  id: idSchema,
  name: nameSchema,
  publicId: z.string(),
  role: z.enum(ROLES),
  models: z.array(z.string()).nullable(),
  /** False: made before clusters could check keys by themselves, so without the centre it is not known there. */
  offline: z.boolean().optional(),
  expiresAt: z.iso.datetime().nullable(),
  revokedAt: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
});
export type ApiKeyDto = z.infer<typeof apiKeySchema>;

/** `key` is shown once. */
export const apiKeyCreatedSchema = apiKeySchema.extend({ key: z.string() });
export type ApiKeyCreated = z.infer<typeof apiKeyCreatedSchema>;
