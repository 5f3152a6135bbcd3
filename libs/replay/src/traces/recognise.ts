/** Which kind of trace a text is, by its header. */
import { TraceError } from '../errors.ts';
import { headerOf } from './csv.ts';
import { JOB_TRACE_HEADER } from './job-trace.ts';
import { REQUEST_TRACE_HEADER } from './request-trace.ts';

export const TRACE_KINDS = ['jobs', 'requests'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];

const HEADERS: Readonly<Record<TraceKind, string>> = { jobs: JOB_TRACE_HEADER, requests: REQUEST_TRACE_HEADER };
const SHOWN_MAX = 80;

/** Throws TraceError naming the known headers when it is none of them. */
export function traceKindOf(text: string): TraceKind {
  const header = headerOf(text);
  const kind = TRACE_KINDS.find((each) => HEADERS[each] === header);
  if (kind !== undefined) return kind;
  const known = TRACE_KINDS.map((each) => `${HEADERS[each]} (${each})`).join(' or ');
  const shown = header.length > SHOWN_MAX ? `${header.slice(0, SHOWN_MAX)}…` : header;
  throw new TraceError(`the first line must be ${known}, not ${JSON.stringify(shown)}`);
}
