import { z } from 'zod';
import { DEVICE_TYPES, DNS_LABEL, SHA256_HEX, TOPOLOGY_SCOPES, UUID } from '#domain';

/** RFC 1123 label. */
export const nameSchema = z
  .string()
  .regex(DNS_LABEL, 'must be a DNS label: 1 to 63 lower-case letters, digits or inner hyphens');
export const idSchema = z.string().regex(UUID, 'must be a UUID in lower case');
export const digestSchema = z.string().regex(SHA256_HEX, 'must be a SHA-256 in 64 lower-case hexadecimal digits');
/** A UTC day. */
export const daySchema = z.iso.date('must be a date such as 2026-01-31');
export const epochSchema = z.int().min(0);
export const revisionSchema = z.int().min(0);
/** At most 64 labels; keys 1–63, values 0–63 characters, as Kubernetes has them (prefix allowed in keys). */
export const labelsSchema = z
  .record(
    z
      .string()
      .regex(
        /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
        'must be a label key such as "site" or "example.com/site"',
      ),
    z
      .string()
      .max(63)
      .regex(
        /^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$/,
        'must be a label value: at most 63 letters, digits, "-", "_" or "."',
      ),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');

export const deviceSchema = z.object({
  id: z.string().min(1).max(64),
  deviceType: z.enum(DEVICE_TYPES),
  memoryBytes: z.int().min(0),
  utilisation: z.number().min(0).max(1).optional(),
  linkDomain: z.string().max(64).optional(),
});

export const nodeSchema = z.object({
  name: z.string().min(1).max(253),
  rack: z.string().max(63).optional(),
  zone: z.string().max(63).optional(),
  labels: labelsSchema.optional(),
  devices: z.array(deviceSchema).max(64),
});

/** `count` 1..4096; `memoryBytesPerDevice` is a minimum. */
export const claimSchema = z.strictObject({
  deviceType: z.enum(DEVICE_TYPES),
  count: z.int().min(1).max(4096),
  memoryBytesPerDevice: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  schedulingPolicy: z.strictObject({ topologyScope: z.enum(TOPOLOGY_SCOPES) }).default({ topologyScope: 'node' }),
});

/** Devices of one node, by their ids. */
export const nodeDevicesSchema = z.object({
  node: z.string().min(1).max(253),
  deviceIds: z.array(z.string().min(1).max(64)).min(1).max(64),
});

/** `<attempt id>-<rank>` */
export const taskIdSchema = z.string().regex(/^[0-9a-f-]{36}-\d{1,4}$/, 'must be an attempt id and a rank');

/** `host:port`; IPv6 hosts in brackets. */
export const endpointSchema = z
  .string()
  .max(260)
  .regex(/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, 'must be host:port');

/** NATS user public key. */
export const publicKeySchema = z
  .string()
  .regex(/^U[A-Z2-7]{55}$/, 'must be a NATS user public key ("U" and 55 base32 characters)');

export const versionFileSchema = z.strictObject({
  path: z.string().min(1).max(255),
  digest: digestSchema,
  sizeBytes: z.int().min(0),
});

/** Ed25519; see `signedText` of the domain. */
export const versionSignatureSchema = z.strictObject({
  publicKey: z.string().regex(/^[0-9a-f]{64}$/, 'must be a raw Ed25519 public key in 64 lower-case hexadecimal digits'),
  signature: z.string().regex(/^[0-9a-f]{128}$/, 'must be an Ed25519 signature in 128 lower-case hexadecimal digits'),
});

/** Five fields: minute, hour, day of the month, month, day of the week. Whether it can fire is checked where it is used. */
export const cronSchema = z
  .string()
  .max(120)
  .regex(
    /^[0-9*,/-]+ [0-9*,/-]+ [0-9*,/-]+ [0-9A-Za-z*,/-]+ [0-9A-Za-z*,/-]+$/,
    'must be a cron expression of five fields, such as "30 1 * * *"',
  );
