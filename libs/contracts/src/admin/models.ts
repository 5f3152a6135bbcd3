/** Admin API: models, versions and their upload. */

import { z } from 'zod';
import { VERSION_PHASES } from '#domain';
import { digestSchema, idSchema, nameSchema, versionFileSchema } from '../primitives.ts';

export const VERSION_FILES_MAX = 10_000;
export const FILE_BYTES_MAX = 4 * 1024 ** 4;

/** `POST /api/v1/models` */
export const createModelSchema = z.strictObject({ name: nameSchema });

export const modelSchema = z.object({
  id: idSchema,
  name: nameSchema,
  createdAt: z.iso.datetime(),
  revision: z.int(),
});
export type ModelDto = z.infer<typeof modelSchema>;

/** `POST /api/v1/models/{model}/versions`: begins an upload. A given digest is checked when the file is complete. */
export const createVersionSchema = z.strictObject({
  files: z
    .array(
      z.strictObject({
        path: z.string().min(1).max(255),
        sizeBytes: z.int().min(0).max(FILE_BYTES_MAX),
        digest: digestSchema.optional(),
      }),
    )
    .min(1)
    .max(VERSION_FILES_MAX),
  notes: z.string().max(4_000).default(''),
});
export type CreateVersion = z.input<typeof createVersionSchema>;

export const versionSchema = z.object({
  id: idSchema,
  model: nameSchema,
  number: z.int(),
  phase: z.enum(VERSION_PHASES),
  digest: digestSchema.nullable(),
  sizeBytes: z.int(),
  /** Digests are null in a file that is not complete yet. */
  files: z.array(versionFileSchema.extend({ digest: digestSchema.nullable(), receivedBytes: z.int() })),
  notes: z.string(),
  createdAt: z.iso.datetime(),
  publishedAt: z.iso.datetime().nullable(),
});
export type VersionDto = z.infer<typeof versionSchema>;
