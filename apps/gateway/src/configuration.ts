import { z } from 'zod';
import { defineConfiguration, listenSchema, logSchema, secret, shutdownSchema } from '#configuration';
import { bodyBytesMaxDefault } from '#inference';
import { DEFAULT_PICK_POLICY, PICK_POLICY_NAMES } from '#routing';

/** What a gateway needs to know before it starts. Everything else it learns over NATS. */
export const gatewayConfiguration = defineConfiguration({
  process: 'gateway',
  schema: z.strictObject({
    /** Clients come here, and so do agents' dialled sockets. */
    http: listenSchema,
    /** `host:port` under which agents can reach this listener; default: where it listens. */
    linkEndpoint: z.string().min(3).max(260).optional(),
    nats: z.strictObject({ servers: z.array(z.string().min(1)).min(1).max(16) }),
    identity: z.strictObject({ jwt: secret(), seed: secret() }),
    /** The installation's pepper for key hashes. */
    pepper: secret(),
    /** Where the last known good routes are kept. */
    stateDirectory: z.string().min(1),
    /** Bearer token of `/metrics`, beside keys that have `metrics:read`. */
    metricsToken: secret().optional(),
    limits: z
      .strictObject({
        bodyBytesMax: z
          .int()
          .min(1024)
          .max(1024 ** 3)
          .default(bodyBytesMaxDefault),
        /** Seconds until an upstream's first byte of the head. */
        firstByteSecondsMax: z.int().min(1).max(3600).default(120),
        /** Seconds between two pieces of an answer. */
        idleSecondsMax: z.int().min(1).max(3600).default(60),
        connectionsPerCluster: z.int().min(1).max(4096).default(256),
        /** Requests that are answered at once by this process; beyond, 503 with `retry-after`. */
        inflightMax: z.int().min(1).max(100_000).default(4096),
        /** Clients' connections, idle ones and agents' links included; what is beyond is closed at once. */
        connectionsMax: z.int().min(16).max(1_000_000).default(20_000),
        /** Seconds that a client has for its request's head. */
        headersSecondsMax: z.int().min(1).max(600).default(20),
        /** Seconds that a client has for its whole request, its body included. */
        requestSecondsMax: z.int().min(1).max(3600).default(120),
      })
      .prefault({}),
    routing: z.strictObject({ pick: z.enum(PICK_POLICY_NAMES).default(DEFAULT_PICK_POLICY) }).prefault({}),
    log: logSchema.prefault({}),
    shutdown: shutdownSchema.prefault({}),
  }),
});
