/** Which kind of trace a text is, by its first line. */
import { TraceError } from '../errors.ts';
import { headerOf } from './csv.ts';
import { JOB_TRACE_HEADER } from './job-trace.ts';
import { isPromptLine, PROMPT_TRACE_FIELDS } from './prompt-trace.ts';
import { REQUEST_TRACE_HEADER } from './request-trace.ts';

/** `requests`: only how large they are; `prompts`: also which of them begin alike. */
export const TRACE_KINDS = ['jobs', 'requests', 'prompts'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];

interface Mark {
  readonly isFirstLine: (line: string) => boolean;
  readonly shown: string;
}

const MARKS: Readonly<Record<TraceKind, Mark>> = {
  jobs: { isFirstLine: (line) => line === JOB_TRACE_HEADER, shown: JOB_TRACE_HEADER },
  requests: { isFirstLine: (line) => line === REQUEST_TRACE_HEADER, shown: REQUEST_TRACE_HEADER },
  prompts: { isFirstLine: isPromptLine, shown: `an object with ${PROMPT_TRACE_FIELDS.join(', ')}` },
};
const SHOWN_MAX = 80;

/** Throws TraceError naming the known first lines when it is none of them. */
export function traceKindOf(text: string): TraceKind {
  const first = headerOf(text);
  const kind = TRACE_KINDS.find((each) => MARKS[each].isFirstLine(first));
  if (kind !== undefined) return kind;
  const known = TRACE_KINDS.map((each) => `${MARKS[each].shown} (${each})`).join(' or ');
  const shown = first.length > SHOWN_MAX ? `${first.slice(0, SHOWN_MAX)}…` : first;
  throw new TraceError(`the first line must be ${known}, not ${JSON.stringify(shown)}`);
}
