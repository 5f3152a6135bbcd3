// Pieces of configuration that several processes have in common.
import { z } from 'zod';

/** A TCP port; 0 lets the system choose a free one. */
export const portSchema = z.int().min(0).max(65535);

const hostSchema = z.string().min(1).default('127.0.0.1');

/** Where a process listens. Only this machine unless told otherwise; the port has no default: see `listenOn`. */
export const listenSchema = z.strictObject({ host: hostSchema, port: portSchema });

/** `listenSchema` with a default port. */
export function listenOn(port: number) {
  return z.strictObject({ host: hostSchema, port: portSchema.default(port) });
}

export const logSchema = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});

const natsServerSchema = z
  .string()
  .regex(/^(nats|tls|ws|wss):\/\/[^\s/]+\/?$/)
  .describe('a NATS address such as nats://127.0.0.1:4222 or tls://nats.example.com:4222');

/** Paths only: the lib that connects reads the credentials file, because credentials are renewed while it runs. */
export const natsSchema = z.strictObject({
  servers: z.array(natsServerSchema).min(1).max(16).default(['nats://127.0.0.1:4222']),
  credentialsFile: z.string().min(1).optional().describe('path of a NATS .creds file'),
  caFile: z.string().min(1).optional().describe('path of a PEM file with the authority that signed the server'),
});

/** How long requests in flight may still run after intake has stopped. */
export const shutdownSchema = z.strictObject({ drainSeconds: z.int().min(0).max(3600).default(30) });
