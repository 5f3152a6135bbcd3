// The control plane's configuration: one YAML file plus environment overrides, parsed once.

import { z } from 'zod';
import { type Configuration, defineConfiguration, listenOn, logSchema, secret, shutdownSchema } from '#configuration';

const natsServers = z
  .array(z.string().regex(/^(nats|tls|ws|wss):\/\/[^\s/]+\/?$/, 'must be an address such as nats://127.0.0.1:4222'))
  .min(1)
  .max(16);

export const controlPlaneConfiguration = defineConfiguration({
  process: 'control-plane',
  schema: z.strictObject({
    http: listenOn(7400).extend({
      publicUrl: z
        .url({ protocol: /^https?$/ })
        .optional()
        .describe('where agents and users reach this API; default: the address it listens on'),
    }),
    database: z.strictObject({
      url: secret().describe('postgres://user:password@host:port/database'),
    }),
    nats: z.strictObject({
      servers: natsServers.default(['nats://127.0.0.1:4222']),
      agentServers: natsServers.optional().describe('what agents are told to connect to; default: nats.servers'),
      operatorDirectory: z.string().min(1).describe('folder with operator.json, made by bootstrap.js'),
    }),
    blobs: z.strictObject({
      directory: z.string().min(1),
      pickleAllowed: z.boolean().default(false).describe('accept files that can run code when loaded'),
      uploadAbandonedAfterHours: z.int().min(1).max(8_760).default(24),
      uploadBytesMax: z
        .int()
        .min(1_048_576)
        .default(1_099_511_627_776)
        .describe('one file of a checkpoint or output; default: 1 TiB'),
      attemptBytesPerHourMax: z
        .int()
        .min(1_048_576)
        .default(8_796_093_022_208)
        .describe('new bytes that one attempt at a job may upload in an hour; default: 8 TiB'),
    }),
    budgets: z.strictObject({
      clusterLeaseHours: z
        .int()
        .min(1)
        .max(720)
        .default(48)
        .describe('how long a cluster that is cut off may spend what it leased of budgets'),
    }),
    secrets: z.strictObject({
      pepper: secret({ charactersMin: 32 }),
      blobSigningKey: secret().describe('Ed25519 private key, PKCS #8 PEM'),
    }),
    owner: z.strictObject({
      keyFile: z.string().min(1).describe('where the owner key is written at the first start, with mode 0600'),
    }),
    log: logSchema,
    shutdown: shutdownSchema,
    limits: z.strictObject({
      bodyBytesMax: z
        .int()
        .min(65_536)
        .max(67_108_864)
        .default(4_194_304)
        .describe('JSON bodies; uploads have their own'),
      failedAttemptsPerMinute: z.int().min(1).max(100_000).default(120).describe('wrong credentials from one address'),
      joinAttemptsPerMinute: z.int().min(1).max(100_000).default(600).describe('challenges and joins from one address'),
    }),
  }),
});

export type ControlPlaneConfiguration = Configuration<typeof controlPlaneConfiguration>;
