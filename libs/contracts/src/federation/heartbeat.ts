/**
 * Conversation: heartbeat. Subject `atoll.v1.<cluster>.hb`, agent → control plane and gateways, core NATS, every second,
 * no reply. Dedupe: none needed, the newest wins. Bound: 200 bytes. Owner: the agent's heartbeat thread.
 */
import { z } from 'zod';

export const HEARTBEAT_BYTES_MAX = 200;

export const heartbeatSchema = z.object({
  /** First 8 characters of the boot id. */
  boot: z.string().min(1).max(36),
  sequence: z.int().min(0),
  revision: z.int().min(0),
  /** Requests being answered now by the cluster's replicas. */
  inflight: z.int().min(0),
  queued: z.int().min(0),
  /** How long the agent's main thread has not turned; large: alive but stuck. */
  stallMs: z.int().min(0),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
