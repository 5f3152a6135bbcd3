/**
 * Conversation: join and renewal, over HTTP (an agent without credentials cannot use NATS).
 *
 * `GET /api/v1/agent/challenge` gives a nonce (60 s). Every POST proves the key: `signature` is the NKey's signature,
 * base64url, over `<nonce>\n<SHA-256 hex of the canonical JSON of the other fields, keys sorted>`.
 * `POST /api/v1/agent/join` spends a join token; `POST /api/v1/agent/credentials` renews, and answers a waiting cluster.
 */

import { z } from 'zod';
import { CLUSTER_PHASES } from '#domain';
import { idSchema, nameSchema, publicKeySchema } from '../primitives.ts';

export const CHALLENGE_SECONDS = 60;
export const USER_JWT_SECONDS = 86_400;

const proof = {
  publicKey: publicKeySchema,
  nonce: z.string().min(16).max(256),
  signature: z.string().min(16).max(256),
};

export const challengeReplySchema = z.object({ nonce: z.string(), expiresInSeconds: z.int() });

export const joinRequestSchema = z.strictObject({
  ...proof,
  token: z.string().min(1).max(256),
  agentVersion: z.string().min(1).max(64),
});
export type JoinRequest = z.infer<typeof joinRequestSchema>;

export const credentialsRequestSchema = z.strictObject({ ...proof, agentVersion: z.string().min(1).max(64) });
export type CredentialsRequest = z.infer<typeof credentialsRequestSchema>;

/** `credentials` is null while the cluster is PendingApproval; ask again after `retryAfterSeconds`. */
export const joinReplySchema = z.object({
  clusterId: idSchema,
  clusterName: nameSchema,
  phase: z.enum(CLUSTER_PHASES),
  retryAfterSeconds: z.int().min(1).nullable(),
  credentials: z
    .object({
      jwt: z.string(),
      /** Counted by the agent's own monotonic clock; renew at half of it. */
      expiresInSeconds: z.int().min(1),
      natsServers: z.array(z.string()).min(1),
      /** Public key of the account that signs users: whom to trust on links. */
      account: z.string(),
    })
    .nullable(),
});
export type JoinReply = z.infer<typeof joinReplySchema>;
