/**
 * The dialects of engines that speak OpenAI's API: what each of them does otherwise, as rows of one table. A strategy is a
 * row here, never a branch elsewhere; the rules themselves, with their sources, are in `request-rules.ts`.
 */
import * as rules from './request-rules.ts';

export interface Dialect {
  /** One line of meaning. */
  readonly meaning: string;
  /** Applied in order to every chat request. */
  readonly chatRules: readonly rules.RequestRule[];
  /** Applied in order to every text completion. */
  readonly completionRules: readonly rules.RequestRule[];
  /** Whether a stream has to be asked for its usage, or says it anyway (its own last chunk has it). */
  readonly streamUsage: 'on-request' | 'always';
}

const templated = [rules.olderTokenLimit, rules.developerAsSystem] as const;

export const DIALECTS = {
  openai: { meaning: 'as OpenAI documents it', chatRules: [], completionRules: [], streamUsage: 'on-request' },
  vllm: {
    meaning: 'vLLM: everything, unknown fields included',
    chatRules: [],
    completionRules: [],
    streamUsage: 'on-request',
  },
  sglang: { meaning: 'SGLang: everything', chatRules: [], completionRules: [], streamUsage: 'on-request' },
  llamacpp: {
    meaning: 'the server of llama.cpp',
    chatRules: templated,
    completionRules: [],
    streamUsage: 'on-request',
  },
  ollama: {
    meaning: 'Ollama’s OpenAI surface',
    chatRules: [rules.withoutLookalikes, ...templated, rules.withoutServiceFields],
    completionRules: [rules.withoutLookalikes, rules.withoutServiceFields],
    streamUsage: 'on-request',
  },
  lmdeploy: {
    meaning: 'LMDeploy’s api_server',
    chatRules: [...templated, rules.withoutServiceFields],
    completionRules: [rules.withoutServiceFields],
    streamUsage: 'on-request',
  },
  mindie: {
    meaning: 'MindIE’s OpenAI surface, on Ascend devices',
    chatRules: [...templated, rules.joinedTextParts, rules.withoutStreamOptions, rules.withoutServiceFields],
    completionRules: [rules.withoutStreamOptions, rules.withoutServiceFields],
    streamUsage: 'always',
  },
} as const satisfies Record<string, Dialect>;

export type DialectName = keyof typeof DIALECTS;
export const DIALECT_NAMES = Object.keys(DIALECTS) as [DialectName, ...DialectName[]];

/** The row of a name; of none, or of one that a newer release wrote, that of plain OpenAI. */
export function dialectOf(name: string | undefined): Dialect {
  return name !== undefined && Object.hasOwn(DIALECTS, name) ? DIALECTS[name as DialectName] : DIALECTS.openai;
}
