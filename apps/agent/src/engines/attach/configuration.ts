import { z } from 'zod';
import { secret } from '#configuration';

/** An engine that runs already; the agent asks it and starts nothing. */
export const attachedEngineSchema = z.strictObject({
  kind: z.literal('attach'),
  url: z.url({ protocol: /^https?$/ }),
  token: secret().optional(),
});
export type AttachedEngineConfiguration = z.output<typeof attachedEngineSchema>;
