/**
 * A trace of inference requests whose prompts can be compared: when each came, how long prompt and answer were, and which
 * blocks the prompt is made of.
 * Format: a JSON object a line, `timestamp` (ms), `input_length`, `output_length` (tokens) and `hash_ids`: a number for
 * each 512 tokens that stands for them and for all before them (Mooncake, FAST '25).
 */
import { TraceError } from '../errors.ts';
import { LINES_MAX } from './csv.ts';

export const PROMPT_TRACE_FIELDS = ['timestamp', 'input_length', 'output_length', 'hash_ids'] as const;
/** Tokens of one block of the trace. */
export const TRACED_BLOCK_TOKENS = 512;

export interface TracedPrompt {
  /** From the first arrival. */
  readonly arrivalMs: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Chained: equal ones mean the same beginning. The last may stand for less than a whole block. */
  readonly blocks: readonly number[];
}

/** In order of arrival. Throws TraceError on lines that are no request, and on a trace without any. */
export function parsePromptTrace(text: string): TracedPrompt[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (lines.length > LINES_MAX) throw new TraceError(`the trace has more than ${LINES_MAX} lines`);
  const prompts = lines.flatMap((line, index) => (line.trim() === '' ? [] : [promptOf(line, index + 1)]));
  if (prompts.length === 0) throw new TraceError('the trace holds no requests');
  const sorted = prompts.sort((left, right) => left.arrivalMs - right.arrivalMs);
  const first = sorted[0]!.arrivalMs;
  return sorted.map((prompt) => ({ ...prompt, arrivalMs: prompt.arrivalMs - first }));
}

/** Whether a line is an object with the fields of this format. */
export function isPromptLine(line: string): boolean {
  const fields = fieldsOf(line);
  return fields !== null && PROMPT_TRACE_FIELDS.every((field) => field in fields);
}

function promptOf(line: string, number: number): TracedPrompt {
  const fields = fieldsOf(line);
  if (fields === null) throw new TraceError(`line ${number} is no JSON object`);
  const count = (field: (typeof PROMPT_TRACE_FIELDS)[number]): number => {
    const value = fields[field];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw new TraceError(`line ${number}: ${field} must be a number of at least 0, not ${JSON.stringify(value)}`);
  };
  return {
    arrivalMs: count('timestamp'),
    promptTokens: count('input_length'),
    answerTokens: count('output_length'),
    blocks: blocksIn(fields.hash_ids, number),
  };
}

function blocksIn(value: unknown, number: number): readonly number[] {
  if (Array.isArray(value) && value.every(Number.isSafeInteger)) return value as number[];
  throw new TraceError(`line ${number}: hash_ids must be a list of whole numbers`);
}

function fieldsOf(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
