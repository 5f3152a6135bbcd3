import { z } from 'zod';

/** An engine that runs already; the agent asks it and starts nothing. */
export const attachedEngineSchema = z.strictObject({
  kind: z.literal('attach'),
  url: z.url({ protocol: /^https?$/ }),
  /** A file of its owner only that holds the bearer token, read at each start. Absent: it asks for none. */
  tokenFile: z.string().min(1).optional(),
});
export type AttachedEngineConfiguration = z.output<typeof attachedEngineSchema>;
