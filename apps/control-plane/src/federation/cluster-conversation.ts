/**
 * One question of a cluster and its answer, as bundles, leases and sync plans have it: who asks is what the subject says,
 * which NATS keeps true; what is asked is judged by the contract; a refusal is counted and says what to do.
 */
import type { z } from 'zod';
import { idSchema } from '#contracts';
import { refuse } from '#messaging';
import { clusterTokenOf } from './cluster-token.ts';
import type { Conversation as ConversationName, FederationMetrics } from './metrics.ts';

export const NOT_A_MEMBER = 'This cluster has not joined, waits for approval, or has left.';

export interface Conversation<Schema extends z.ZodType, Refusal extends string> {
  /** As the metrics name it. */
  readonly name: ConversationName;
  readonly schema: Schema;
  /** What to do, by why there is no answer. */
  readonly advice: Readonly<Record<Refusal | 'malformed', string>>;
  /** The answer, or why there is none. */
  readonly answer: (clusterId: string, request: z.output<Schema>) => Promise<object | Refusal>;
}

export async function converse<Schema extends z.ZodType, Refusal extends string>(
  { name, schema, advice, answer }: Conversation<Schema, Refusal>,
  value: unknown,
  context: unknown,
  metrics: FederationMetrics,
): Promise<unknown> {
  const refused = (reason: Refusal | 'malformed') => {
    metrics.dropped(name, reason);
    return refuse(reason, advice[reason]);
  };
  const clusterId = idSchema.safeParse(clusterTokenOf(context));
  const request = schema.safeParse(value);
  if (!clusterId.success || !request.success) return refused('malformed');
  const reply = await answer(clusterId.data, request.data);
  if (typeof reply === 'string') return refused(reply);
  metrics.taken(name);
  return reply;
}
