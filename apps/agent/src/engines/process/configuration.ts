import { z } from 'zod';

/** An engine that the agent starts by a command template, a process a replica. */
export const processEngineSchema = z.strictObject({
  kind: z.literal('process'),
  /** Program and arguments; `{modelPath}`, `{servedModel}`, `{port}` … are filled in. */
  command: z.array(z.string().min(1)).min(1).max(256),
});
export type ProcessEngineConfiguration = z.output<typeof processEngineSchema>;
