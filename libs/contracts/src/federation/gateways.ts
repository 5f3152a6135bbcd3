/**
 * Conversation: gateways' addresses, so that agents can dial them. Subject `atoll.v1.gateways`, gateway → agents and
 * control plane, core, at start and every 5 s; `atoll.v1.gateways.fetch` (agent → control plane, request–reply) gives
 * those announced within the last 15 s. Dedupe: gateway id, the newest wins. Bound: 1 KiB.
 */
import { z } from 'zod';
import { endpointSchema, idSchema, publicKeySchema } from '../primitives.ts';

export const GATEWAY_ANNOUNCE_INTERVAL_MS = 5_000;
export const GATEWAY_FORGOTTEN_AFTER_MS = 15_000;

export const gatewaySchema = z.object({
  gatewayId: idSchema,
  linkEndpoint: endpointSchema,
  publicKey: publicKeySchema,
});
export type GatewayAnnouncement = z.infer<typeof gatewaySchema>;

export const gatewaysFetchReplySchema = z.object({ gateways: z.array(gatewaySchema).max(1_000) });
