// RFC 9457 problems: what a caller reads when something was refused. One table, one maker.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from '#contracts';
import type { Refusal } from '#domain';

/** A field at fault: its JSON path, and what is wrong. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

export interface ProblemParts {
  readonly status: number;
  /** Last part of `urn:atoll:problem:<code>`; default: by status. */
  readonly code?: string;
  readonly detail: string;
  readonly errors?: readonly FieldError[];
  readonly headers?: Readonly<Record<string, string>>;
  /** RFC 9457 §3.2 */
  readonly extension?: Readonly<Record<string, number | string>>;
}

/** Status → code and title. */
const KINDS: Readonly<Record<number, readonly [code: string, title: string]>> = {
  400: ['malformed-request', 'The request cannot be read'],
  401: ['unauthenticated', 'Credentials are missing or wrong'],
  403: ['forbidden', 'Not allowed'],
  404: ['not-found', 'Not found'],
  405: ['method-not-allowed', 'Method not allowed'],
  408: ['request-timeout', 'The request came too slowly'],
  409: ['conflict', 'In conflict with what is there'],
  411: ['length-required', 'A content-length is required'],
  412: ['precondition-failed', 'It has changed since it was read'],
  413: ['too-large', 'The request is too large'],
  414: ['uri-too-long', 'The address is too long'],
  415: ['unsupported-media-type', 'This media type is not understood'],
  416: ['range-not-satisfiable', 'The range is outside the content'],
  422: ['invalid', 'Some values are not valid'],
  429: ['too-many-attempts', 'Too many attempts'],
  431: ['headers-too-large', 'The headers are too large'],
  500: ['internal', 'Something failed inside'],
  503: ['unavailable', 'Not available now'],
  507: ['storage-full', 'The storage is full'],
};

/** At most so many fields are listed; a body of ten thousand wrong entries is said in short. */
export const PROBLEM_ERRORS_MAX = 50;

export function toProblem(parts: ProblemParts, requestId: string): Problem {
  const [code, title] = KINDS[parts.status] ?? (parts.status < 500 ? ['refused', 'Refused'] : KINDS[500]!);
  return {
    ...parts.extension,
    type: `urn:atoll:problem:${parts.code ?? code}`,
    title,
    status: parts.status,
    detail: parts.detail,
    instance: requestId,
    ...(parts.errors && parts.errors.length > 0 ? { errors: parts.errors.slice(0, PROBLEM_ERRORS_MAX) } : {}),
  };
}

export function sendProblem(request: FastifyRequest, reply: FastifyReply, parts: ProblemParts): FastifyReply {
  // Who has proven nothing, or asks too often, is not listened to until the end of a large body.
  if ((parts.status === 401 || parts.status === 429) && hasLargeBody(request)) reply.header('connection', 'close');
  return reply
    .status(parts.status)
    .headers({ ...parts.headers })
    .type('application/problem+json')
    .send(JSON.stringify(toProblem(parts, request.id)));
}

function hasLargeBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 65_536;
}

/** What intent refused, in HTTP's words. */
export function refusalProblem(refusal: Refusal): ProblemParts {
  switch (refusal.refused) {
    case 'not-found':
      return { status: 404, detail: `There is no ${refusal.what} ${JSON.stringify(refusal.name.slice(0, 128))}.` };
    case 'conflict':
      return { status: 409, detail: refusal.reason };
    case 'precondition':
      return { status: 412, detail: refusal.reason };
    case 'invalid':
      return {
        status: 422,
        detail: `${refusal.field}: ${refusal.reason}`,
        errors: [{ field: refusal.field, message: refusal.reason }],
      };
    case 'forbidden':
      return { status: 403, detail: refusal.reason };
  }
}

/** JSON path without the leading `$`: `files[3].path`; `body` for the whole. */
export function fieldName(path: readonly PropertyKey[]): string {
  const name = path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
  return name === '' ? 'body' : name.toWellFormed().slice(0, 256);
}
