/** Admin API: RFC 9457 problems and lists. */
import { z } from 'zod';

export const problemSchema = z.object({
  /** `urn:atoll:problem:<code>` */
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  /** The request's id. */
  instance: z.string(),
  /** Fields at fault: JSON path, what is wrong and what would be right. */
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});
export type Problem = z.infer<typeof problemSchema>;

/** `?limit=1..200 (default 50)&after=<cursor>` */
export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  after: z.string().max(64).optional(),
});

/** `next` is the cursor of the following page, null on the last. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}
