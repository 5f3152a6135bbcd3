/**
 * Conversation: logs of a task. Subject `atoll.v1.<cluster>.rpc.task-logs`, control plane → agent, request–reply, nothing
 * kept. Who follows asks again from `next`. Bound: 64 KiB of log an answer. Owner of the log: the agent, which keeps the
 * newest 10 MiB of each task until the desired document drops it, and for an hour after.
 */
import { z } from 'zod';
import { taskIdSchema } from '../primitives.ts';

export const TASK_LOG_ANSWER_BYTES_MAX = 65_536;

export const taskLogsRequestSchema = z.object({
  taskId: taskIdSchema,
  /** Byte offset from the task's first byte; negative: so many bytes before the end. */
  offset: z.int(),
  bytesMax: z.int().min(1).max(TASK_LOG_ANSWER_BYTES_MAX),
});
export type TaskLogsRequest = z.infer<typeof taskLogsRequestSchema>;

export const taskLogsReplySchema = z.discriminatedUnion('found', [
  z.object({
    found: z.literal(true),
    /** Where `text` begins: later than asked for when rotation dropped the older part. */
    offset: z.int().min(0),
    /** Ask from here for what comes after. */
    next: z.int().min(0),
    text: z.string(),
    /** True: the task ended and `next` is the end of its log. */
    isComplete: z.boolean(),
  }),
  z.object({ found: z.literal(false), reason: z.string().max(500) }),
]);
export type TaskLogsReply = z.infer<typeof taskLogsReplySchema>;
