/**
 * Conversation: usage and leases of gateways. Subject `atoll.v1.usage`, gateway → control plane, request–reply; any control
 * plane may answer from Postgres. One request tells what was charged and asks for leases, by the rules of clusters' ones
 * (`leases.ts`). Dedupe: `id` of each telling, which is written down in the transaction that counts it; `requestId` of each
 * wish. What is not among `taken` is told again, so losing a message loses nothing. Bound: 1 MiB. Owner: the gateway.
 *
 * `gatewayId` names the state folder, and so the leases in it; all gateways of an installation are trusted alike.
 */
import { z } from 'zod';
import { idSchema } from '../primitives.ts';
import { USAGE_ENTRIES_MAX, usageEntrySchema } from './events.ts';
import { leaseReplySchema, leaseRequestSchema } from './leases.ts';

export const TELLINGS_MAX = 16;

export const gatewayUsageSchema = leaseRequestSchema.extend({
  gatewayId: idSchema,
  told: z
    .array(
      z.object({
        id: idSchema,
        at: z.iso.datetime(),
        entries: z.array(usageEntrySchema).min(1).max(USAGE_ENTRIES_MAX),
      }),
    )
    .max(TELLINGS_MAX),
});
export type GatewayUsage = z.infer<typeof gatewayUsageSchema>;

/** `taken`: ids of tellings that Postgres has, now or from before. */
export const gatewayUsageReplySchema = leaseReplySchema.extend({ taken: z.array(idSchema) });
export type GatewayUsageReply = z.infer<typeof gatewayUsageReplySchema>;
