/**
 * Conversation: logs of a replica's engine. Subject `atoll.v1.<cluster>.rpc.replica-logs`, control plane → agent,
 * request–reply, nothing kept; the answer is that of task logs. Bound: 64 KiB of log an answer. Owner of the log: the
 * agent, which keeps one file a replica; an engine that starts anew may begin it anew, so an offset beyond its end begins
 * at its start. `isComplete`: the replica is not here any more.
 */
import { z } from 'zod';
import { idSchema } from '../primitives.ts';
import { TASK_LOG_ANSWER_BYTES_MAX } from './task-logs.ts';

export const replicaLogsRequestSchema = z.object({
  replicaId: idSchema,
  /** Byte offset; negative: so many bytes before the end. */
  offset: z.int(),
  bytesMax: z.int().min(1).max(TASK_LOG_ANSWER_BYTES_MAX),
});
export type ReplicaLogsRequest = z.infer<typeof replicaLogsRequestSchema>;
