/**
 * Failures on purpose: which request fails, and how. Chosen by the seed and the request's number, so that a run can be
 * repeated. Pure.
 */
import { z } from 'zod';
import { unitOf } from './random.ts';

/** Kind → what the client sees. */
export const FAILURES = {
  refuse: 'the connection is reset before the first byte',
  error: 'answers 500',
  hang: 'never answers',
  break: 'the connection is reset after so many tokens (default 5)',
  garbage: 'nonsense after so many tokens (default 0)',
} as const;
export type FailureKind = keyof typeof FAILURES;

export interface Failure {
  readonly kind: FailureKind;
  /** Share of requests, 0..1. */
  readonly share: number;
  readonly tokens: number;
}

const KINDS = Object.keys(FAILURES).join(', ');

/** `kind:share[:tokens]`, as in `break:0.1:5`. */
export const failureSchema = z.string().transform((text, context): Failure => {
  const [kind = '', share = '1', tokens] = text.split(':');
  const failure = {
    kind: kind as FailureKind,
    share: Number(share),
    tokens: Number(tokens ?? (kind === 'break' ? 5 : 0)),
  };
  const isKnown = Object.hasOwn(FAILURES, kind);
  const isShare = failure.share >= 0 && failure.share <= 1;
  if (isKnown && isShare && Number.isSafeInteger(failure.tokens) && failure.tokens >= 0) return failure;
  const message = `'${text}' is no failure: give kind:share[:tokens], a share of 0..1, a kind of ${KINDS}`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** How request `number` fails; null: it does not. Shares of several kinds add up. */
export function failureOf(failures: readonly Failure[], seed: number, number: number): Failure | null {
  let drawn = unitOf(`failure ${seed} ${number}`);
  for (const failure of failures) {
    drawn -= failure.share;
    if (drawn < 0) return failure;
  }
  return null;
}
