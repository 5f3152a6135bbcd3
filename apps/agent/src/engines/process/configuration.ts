import { z } from 'zod';
import { DIALECT_NAMES } from '#inference';
import { templateProblem } from './command-template.ts';

/** Text in which the variables of `command-template.ts` are filled in. */
const templateSchema = z.string().superRefine((template, context) => {
  const problem = templateProblem(template);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

/** An engine that the agent starts by a command template, a process a replica. */
export const processEngineSchema = z.strictObject({
  kind: z.literal('process'),
  /** Program and arguments; `{modelPath}`, `{servedModel}`, `{port}` … are filled in. */
  command: z.array(templateSchema.min(1)).min(1).max(256),
  /** Beside the little that every engine gets of the agent's own. Filled in as the command is. */
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable'), templateSchema)
    .default({}),
  /** The address that it is to listen on, and is asked at. Default: of this machine only. */
  host: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  /** Answers 2xx once it can take requests. Default `/health`. */
  readyPath: z.string().startsWith('/').max(1_024).default('/health'),
  /** What it calls the model, where the command does not tell it the served name: a template. */
  upstreamModel: templateSchema.min(1).optional(),
  /** What it speaks: how requests, errors, load and adapters are told. Default: plain OpenAI. */
  dialect: z.enum(DIALECT_NAMES).default('openai'),
  /** From SIGTERM to SIGKILL. Default 30. */
  stopGraceSeconds: z.int().min(1).max(3_600).default(30),
  /** All its processes together, model files that they map not counted; beyond it it has failed. Absent: no bound. */
  memoryBytesMax: z.int().min(1_048_576).optional(),
});

export type ProcessEngineConfiguration = z.output<typeof processEngineSchema>;
