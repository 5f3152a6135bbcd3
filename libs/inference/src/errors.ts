// The OpenAI error surface: one table of kinds, one body shape, one way to write it. Gateway, agent and engine answer
// with these only, so that an OpenAI client meets the same statuses and codes whoever refused.
import type { ServerResponse } from 'node:http';
import type { ZodError } from 'zod';

interface OpenAiErrorRow {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

/** kind → status, `type`, `code`, default message, default `retry-after`. */
export const openAiErrorTable = {
  invalid_api_key: {
    status: 401,
    type: 'invalid_request_error',
    code: 'invalid_api_key',
    message: 'Incorrect API key provided. Send a valid key as "Authorization: Bearer <key>".',
  },
  permission_denied: {
    status: 403,
    type: 'invalid_request_error',
    code: 'permission_denied',
    message: 'This API key may not do that.',
  },
  invalid_request: { status: 400, type: 'invalid_request_error', code: null, message: 'The request is not valid.' },
  unsupported_value: {
    status: 400,
    type: 'invalid_request_error',
    code: 'unsupported_value',
    message: 'This value is not supported.',
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    code: 'context_length_exceeded',
    message: 'The prompt is longer than the context of the model.',
  },
  route_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'unknown_url',
    message: 'No such route. There are GET /v1/models, POST /v1/chat/completions and POST /v1/completions.',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    message: 'The model does not exist.',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    code: 'method_not_allowed',
    message: 'This route does not know that method.',
  },
  body_too_large: {
    status: 413,
    type: 'invalid_request_error',
    code: 'body_too_large',
    message: 'The request body is too large.',
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    message: 'Rate limit reached. Slow down.',
    retryAfterSeconds: 1,
  },
  insufficient_quota: {
    status: 429,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    message: 'The budget of this key is used up.',
  },
  internal_error: { status: 500, type: 'server_error', code: 'internal_error', message: 'Internal error.' },
  upstream_error: {
    status: 502,
    type: 'server_error',
    code: 'upstream_error',
    message: 'The replica that served this request failed.',
  },
  no_ready_replica: {
    status: 503,
    type: 'server_error',
    code: 'no_ready_replica',
    message: 'No replica of the model is ready.',
    retryAfterSeconds: 2,
  },
  version_not_available: {
    status: 503,
    type: 'server_error',
    code: 'version_not_available',
    message: 'No replica serves the wanted version yet.',
    retryAfterSeconds: 2,
  },
  offline_permission: {
    status: 503,
    type: 'server_error',
    code: 'offline_permission',
    message: 'This cluster may not serve by itself now.',
    retryAfterSeconds: 30,
  },
  engine_overloaded: {
    status: 503,
    type: 'server_error',
    code: 'engine_overloaded',
    message: 'The engine and its queue are full.',
    retryAfterSeconds: 1,
  },
  shutting_down: {
    status: 503,
    type: 'server_error',
    code: 'shutting_down',
    message: 'This process is stopping.',
    retryAfterSeconds: 1,
  },
  timeout: {
    status: 504,
    type: 'server_error',
    code: 'timeout',
    message: 'The replica did not answer in time.',
  },
} as const satisfies Record<string, OpenAiErrorRow>;

export type OpenAiErrorKind = keyof typeof openAiErrorTable;

export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** Path of the offending field (`messages[0].role`), null when no field is to blame. */
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface OpenAiError {
  readonly kind: OpenAiErrorKind;
  readonly status: number;
  readonly body: OpenAiErrorBody;
  /** Sent as `retry-after` when set. */
  readonly retryAfterSeconds?: number;
}

export interface OpenAiErrorDetail {
  readonly message?: string;
  readonly param?: string;
  readonly retryAfterSeconds?: number;
}

/** An error value of one kind; what the detail leaves out comes from the table. */
export function openAiError(kind: OpenAiErrorKind, detail: OpenAiErrorDetail = {}): OpenAiError {
  const row: OpenAiErrorRow = openAiErrorTable[kind];
  return {
    kind,
    status: row.status,
    body: {
      error: {
        message: detail.message ?? row.message,
        type: row.type,
        param: detail.param ?? null,
        code: row.code,
      },
    },
    retryAfterSeconds: detail.retryAfterSeconds ?? row.retryAfterSeconds,
  };
}

const modelsListedMax = 20;
const modelNameShownLengthMax = 100;

/** 404 that lists what is there, at most 20 names. */
export function modelNotFound(model: string, available: readonly string[]): OpenAiError {
  const listed = available.slice(0, modelsListedMax).join(', ');
  const more = available.length > modelsListedMax ? ` and ${available.length - modelsListedMax} more` : '';
  const there = available.length === 0 ? 'No model is served.' : `Served are: ${listed}${more}.`;
  return openAiError('model_not_found', {
    param: 'model',
    message: `The model '${model.slice(0, modelNameShownLengthMax)}' does not exist or this key may not use it. ${there}`,
  });
}

/** 400 from a schema's refusal: the first issue, naming the field and what would be right. */
export function invalidRequestFromSchema(error: ZodError): OpenAiError {
  const issue = error.issues[0];
  const param = issue === undefined ? '' : fieldPath(issue.path);
  const reason = issue?.message ?? 'not valid';
  return openAiError('invalid_request', {
    param: param === '' ? undefined : param,
    message: param === '' ? `The request body is not valid: ${reason}.` : `Invalid '${param}': ${reason}.`,
  });
}

function fieldPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
  }
  return text;
}

/**
 * Writes the error as the whole answer. When the head was already sent the socket is destroyed instead: an error
 * must never be mistaken for a clean finish.
 * `extraHeaders` is a flat list of names and values. A 413 closes the connection, since the body was not read.
 */
export function writeOpenAiError(res: ServerResponse, error: OpenAiError, extraHeaders: readonly string[] = []): void {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const payload = Buffer.from(JSON.stringify(error.body));
  const headers = [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(payload.length),
    ...extraHeaders,
  ];
  if (error.retryAfterSeconds !== undefined) {
    headers.push('retry-after', String(Math.max(1, Math.ceil(error.retryAfterSeconds))));
  }
  if (error.status === 401) headers.push('www-authenticate', 'Bearer');
  if (error.status === 413) headers.push('connection', 'close');
  res.writeHead(error.status, headers);
  res.end(payload);
}
