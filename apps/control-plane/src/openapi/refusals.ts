/**
 * What each operation of the document may be refused with, in one place for all of them: a status that the shape of the
 * operation makes possible stands there by itself, everything else is its `default`. Routes say in their own decorators
 * only what is peculiar to them (access does so too); a description that is there is left as it is.
 */

const PROBLEM_REFERENCE = '#/components/schemas/Problem';

interface Parameter {
  readonly in: string;
  readonly name: string;
}

interface Response {
  description?: string;
  content?: Record<string, unknown>;
  headers?: object;
}

export interface Operation {
  parameters?: readonly Parameter[];
  requestBody?: { readonly content?: object };
  /** There when a key is needed. */
  security?: readonly object[];
  responses?: Record<string, Response>;
}

/** An operation and its method in lower case. */
type Asked = readonly [method: string, operation: Operation];

/** Fastify reads whatever body comes with these, wanted or not. */
const mayHaveBody = ([method]: Asked) => method !== 'get' && method !== 'head';
const takes =
  (place: string, name?: string) =>
  ([, { parameters = [] }]: Asked) =>
    parameters.some((each) => each.in === place && (name === undefined || each.name.toLowerCase() === name));
const takesBytes = ([, { requestBody }]: Asked) => 'application/octet-stream' in (requestBody?.content ?? {});
const isUnproven = ([, { security, requestBody }]: Asked) => security === undefined && requestBody !== undefined;
const either =
  (...tests: readonly ((asked: Asked) => boolean)[]) =>
  (asked: Asked) =>
    tests.some((test) => test(asked));

/** Status, what it says, and which operations can answer it. */
const REFUSALS: readonly (readonly [status: number, description: string, when: (asked: Asked) => boolean])[] = [
  [400, 'The address or the body cannot be read', either(mayHaveBody, takes('path'))],
  [
    404,
    'There is nothing of that name, or it is not for this key to see',
    either(takes('path'), takes('query', 'tenant')),
  ],
  [409, 'In conflict with what is there; the detail says with what', mayHaveBody],
  [411, 'The length of the body is not said', isUnproven],
  [412, 'If-Match does not name the present ETag', takes('header', 'if-match')],
  [413, 'The body is larger than the route takes', mayHaveBody],
  [415, 'The body is of another media type', mayHaveBody],
  [
    422,
    'Values are not valid; `errors` names the fields',
    either(
      takes('path'),
      takes('query'),
      takes('header', 'idempotency-key'),
      ([, { requestBody }]) => requestBody !== undefined,
    ),
  ],
  [507, 'The storage is full', takesBytes],
];

const DEFAULT_DESCRIPTION =
  'Any other refusal, such as 503 while the database cannot be reached, or 500 (logged under the id in `instance`)';

/** @param isProblem whether the schema of an answer with an error's status is that of a problem */
export function documentRefusals(
  paths: Readonly<Record<string, object>>,
  isProblem: (schema: unknown) => boolean,
): void {
  for (const operations of Object.values(paths)) {
    for (const [method, operation] of Object.entries(operations) as [string, Operation][]) {
      operation.responses = refusalsOf([method, operation], isProblem);
    }
  }
}

function refusalsOf(asked: Asked, isProblem: (schema: unknown) => boolean): Record<string, Response> {
  const said = Object.entries(asked[1].responses ?? {}).map(([status, response]): [string, Response] => {
    return [
      status,
      Number(status) >= 400 && isRefusal(response, isProblem) ? problem(response.description ?? '') : response,
    ];
  });
  const possible = REFUSALS.filter(([, , when]) => when(asked)).map(([status, description]): [string, Response] => {
    return [String(status), problem(description)];
  });
  return { ...Object.fromEntries(possible), ...Object.fromEntries(said), default: problem(DEFAULT_DESCRIPTION) };
}

/** A probe answers what is wrong with 503 and in its own shape: that is no refusal. */
function isRefusal({ content }: Response, isProblem: (schema: unknown) => boolean): boolean {
  const bodies = Object.values(content ?? {}) as { schema?: unknown }[];
  return bodies.every(({ schema }) => isProblem(schema));
}

/** RFC 9457 has a media type of its own. */
function problem(description: string): Response {
  return { description, content: { 'application/problem+json': { schema: { $ref: PROBLEM_REFERENCE } } } };
}
