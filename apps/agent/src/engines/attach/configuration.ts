import { z } from 'zod';
import { DIALECT_NAMES } from '#inference';

/** A path on the engine's server, appended to its url. */
const pathSchema = z.string().startsWith('/').max(1_024);
/** It stands in logs and reports, so it must hold no secret (S8); and of its query nothing would be sent. */
const httpUrlSchema = z
  .url({ protocol: /^https?$/ })
  .max(2_048)
  .refine(isPlainUrl, 'must have no user, password, query or fragment; a token goes into tokenFile');

/** What is no url at all is told by what comes before. */
function isPlainUrl(text: string): boolean {
  if (!URL.canParse(text)) return true;
  const { username, password, search, hash } = new URL(text);
  return username === '' && password === '' && search === '' && hash === '';
}

/** An engine that runs already; the agent asks it and starts nothing. */
export const attachedEngineSchema = z.strictObject({
  kind: z.literal('attach'),
  /** Origin and base path; `/v1` at its end may be given or left out. */
  url: httpUrlSchema,
  /** A file of its owner only that holds the bearer token, read at each start. Absent: it asks for none. */
  tokenFile: z.string().min(1).optional(),
  /** What it speaks: how requests, errors, health, load and adapters are told. Default: plain OpenAI. */
  dialect: z.enum(DIALECT_NAMES).default('openai'),
  /** What it calls the model. Default: the served name if it lists that, else the only model that it lists. */
  model: z.string().min(1).max(256).optional(),
  /** Answers 2xx while it can take requests. Default: that of its dialect. */
  healthPath: pathSchema.optional(),
  /** Where its metrics are, when that is another address than its dialect's path on `url` (MindIE: another port). */
  metricsUrl: httpUrlSchema.optional(),
  /** Requests that it answers at once (`--max-num-seqs`, `--parallel`); the rest waits. Absent: not known. */
  slots: z.int().min(1).max(100_000).optional(),
  /** It reads model files from this agent's folder, so they must be here before it is used. Default false. */
  needsFiles: z.boolean().default(false),
  timeouts: z
    .strictObject({
      /** Connecting, and an answer about its health, models or metrics. Default 3. */
      probeSeconds: z.int().min(1).max(60).default(3),
      /** Loading an adapter. Default 120. */
      adapterSeconds: z.int().min(1).max(3_600).default(120),
    })
    .prefault({}),
});
export type AttachedEngineConfiguration = z.output<typeof attachedEngineSchema>;
