// A trace from a file, told by its first line.
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  parseJobTrace,
  parsePromptTrace,
  parseRequestTrace,
  type TracedJob,
  type TracedPrompt,
  type TracedRequest,
  TraceError,
  type TraceKind,
  traceKindOf,
} from '#replay';
import { UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';

/** More than any trace has; what is larger is not read into memory. */
const BYTES_MAX = 500_000_000;

export type Trace =
  | { readonly kind: 'jobs'; readonly jobs: readonly TracedJob[] }
  | { readonly kind: 'requests'; readonly requests: readonly TracedRequest[] }
  | { readonly kind: 'prompts'; readonly prompts: readonly TracedPrompt[] };

/** Throws UsageError when there is no such file, it is no known trace, or not of the kind that was asked for. */
export function readTrace({ cwd }: Pick<Terminal, 'cwd'>, file: string, wanted: TraceKind | undefined): Trace {
  const text = read(resolve(cwd, file), file);
  try {
    const kind = traceKindOf(text);
    if (wanted !== undefined && wanted !== kind)
      throw new UsageError(`${file} is a trace of ${kind}, not of ${wanted}`);
    return parse(kind, text);
  } catch (error) {
    if (error instanceof TraceError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}

function parse(kind: TraceKind, text: string): Trace {
  switch (kind) {
    case 'jobs':
      return { kind, jobs: parseJobTrace(text) };
    case 'requests':
      return { kind, requests: parseRequestTrace(text) };
    case 'prompts':
      return { kind, prompts: parsePromptTrace(text) };
  }
}

function read(path: string, shown: string): string {
  try {
    if (statSync(path).size > BYTES_MAX) throw new UsageError(`${shown} is larger than ${BYTES_MAX / 1e6} MB`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${shown} cannot be read${code === 'ENOENT' ? ': no such file' : ` (${code})`}`);
  }
}
