// Request schemas of the OpenAI surface: strict on the types and bounds of the fields that are known here, open to all
// others (engines have fields of their own, and the gateway forwards the original bytes). The engine parses with these;
// the gateway's hot path reads only what routing needs (routing-fields.ts).
import { z } from 'zod';

const modelSchema = z.string().min(1, 'must not be empty').max(256, 'must have at most 256 characters');
const stopSchema = z
  .union([z.string(), z.array(z.string()).max(16, 'must have at most 16 entries')], {
    error: 'must be a string or a list of at most 16 strings',
  })
  .nullish();

const sharedFields = {
  model: modelSchema,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  n: z.int().min(1).max(128).nullish(),
  seed: z.int().nullish(),
  stop: stopSchema,
  user: z.string().max(512).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
};

const contentPartSchema = z.looseObject({ type: z.string().min(1), text: z.string().optional() });

export const chatMessageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z
    .union([z.string(), z.array(contentPartSchema).min(1)], { error: 'must be a string or a list of content parts' })
    .nullish(),
  name: z.string().max(256).optional(),
});

/** `POST /v1/chat/completions`. */
export const chatCompletionRequestSchema = z.looseObject({
  ...sharedFields,
  messages: z.array(chatMessageSchema).min(1, 'must have at least one message'),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  tools: z.array(z.unknown()).nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
});

/** `POST /v1/completions`. */
export const completionRequestSchema = z.looseObject({
  ...sharedFields,
  prompt: z.union(
    [
      z.string(),
      z.array(z.string()).min(1),
      z.array(z.int().min(0)).min(1),
      z.array(z.array(z.int().min(0)).min(1)).min(1),
    ],
    { error: 'must be a string, or a list that is not empty of strings or tokens' },
  ),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: z.int().min(1).nullish(),
  logprobs: z.int().min(0).nullish(),
});

export type ChatMessage = z.infer<typeof chatMessageSchema>;
export type ChatCompletionRequest = z.infer<typeof chatCompletionRequestSchema>;
export type CompletionRequest = z.infer<typeof completionRequestSchema>;
