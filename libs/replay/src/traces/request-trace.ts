/**
 * A trace of inference requests: when each came, how long its prompt was and how many tokens it was answered with.
 * Format: `TIMESTAMP,ContextTokens,GeneratedTokens` (Azure LLM inference traces 2023).
 */
import { TraceError } from '../errors.ts';
import { type CsvLine, linesOf, numberIn } from './csv.ts';

export const REQUEST_TRACE_HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';

export interface TracedRequest {
  /** From the first arrival. */
  readonly arrivalMs: number;
  readonly contextTokens: number;
  readonly generatedTokens: number;
}

/** In order of arrival. Throws TraceError on lines that are no request, and on a trace without any. */
export function parseRequestTrace(text: string): TracedRequest[] {
  const requests = linesOf(text, REQUEST_TRACE_HEADER.split(',').length).map((line): TracedRequest => {
    const [timestamp, context, generated] = line.fields;
    return {
      arrivalMs: timeIn(line, timestamp!),
      contextTokens: numberIn(line, 'ContextTokens', context, 0),
      generatedTokens: numberIn(line, 'GeneratedTokens', generated, 0),
    };
  });
  if (requests.length === 0) throw new TraceError('the trace holds no requests');
  const sorted = requests.sort((left, right) => left.arrivalMs - right.arrivalMs);
  const first = sorted[0]!.arrivalMs;
  return sorted.map((request) => ({ ...request, arrivalMs: request.arrivalMs - first }));
}

/** `2023-11-16 18:15:46.6805900`, taken as UTC; fractions below a millisecond are kept. */
function timeIn({ number }: CsvLine, text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?$/.exec(text.trim());
  const wholeMs = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}Z`);
  if (Number.isNaN(wholeMs)) {
    throw new TraceError(`line ${number}: TIMESTAMP must be a time such as 2023-11-16 18:15:46.68, not ${text}`);
  }
  return wholeMs + Number(match?.[3] ?? 0) * 1_000;
}
