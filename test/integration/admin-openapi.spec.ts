// U6: what the document says of refusals and answers, held against what the running control plane answers.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, type Call, type Installation, startInstallation } from './admin.fixture.ts';

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: object;
  readonly security?: object;
  readonly responses: Readonly<Record<string, { readonly headers?: object; readonly content?: Record<string, Body> }>>;
}

interface Body {
  readonly schema?: Readonly<Record<string, unknown>>;
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

let installation: Installation;
let routes: readonly Route[];

beforeAll(async () => {
  installation = await startInstallation({
    ATOLL_LIMITS_FAILED_ATTEMPTS_PER_MINUTE: '10000',
    ATOLL_LIMITS_JOIN_ATTEMPTS_PER_MINUTE: '10000',
    ATOLL_LIMITS_BODY_BYTES_MAX: '65536',
  });
  const { body } = await installation.call('GET', '/api/openapi.json');
  routes = Object.entries(body.paths as Record<string, Record<string, Operation>>).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
const nameOf = ({ method, path }: Route) => `${method} ${path}`;
const takes = ({ operation }: Route, place: string, name: string) =>
  operation.parameters?.some((each) => each.in === place && each.name === name) === true;

/** A path of which nothing is there, with every name well-formed. */
function nobodys(path: string): string {
  return path
    .replace('{digest}', '0'.repeat(64))
    .replace('{number}', '1')
    .replace(/\{(id|replica|lease)\}/g, '00000000-0000-7000-8000-000000000002')
    .replace('{intent}', 'cancel')
    .replace(/\{[a-z]+\}/g, 'nobody');
}

/** One sentence for an answer that the document does not foresee, or none. */
function undocumented(route: Route, { status, headers }: Answer, what: string): string[] {
  if (status < 400) return [];
  const isProblem = /^application\/problem\+json/.test(headers.get('content-type') ?? '');
  const isForeseen = String(status) in route.operation.responses;
  return isProblem && isForeseen ? [] : [`${nameOf(route)}: ${what} is ${status}, ${headers.get('content-type')}`];
}

describe('U6: the document foresees every refusal', () => {
  it('as a problem, with its media type and schema, and with a default', async () => {
    const wrong = routes.flatMap((route) =>
      Object.entries(route.operation.responses)
        .filter(([status]) => status === 'default' || Number(status) >= 400)
        .filter(([status]) => !(route.path === '/readyz' && status === '503'))
        .filter(([, { content }]) => JSON.stringify(content) !== JSON.stringify(PROBLEM))
        .map(([status]) => `${nameOf(route)} ${status}`),
    );
    const silent = routes.filter(({ operation }) => !('default' in operation.responses)).map(nameOf);
    expect({ wrong, silent }).toEqual({ wrong: [], silent: [] });
    const { body } = await installation.call('GET', '/api/openapi.json');
    expect(Object.keys(body.components.schemas.Problem.properties)).toEqual(expect.arrayContaining(['type', 'errors']));
  });

  it('by what its shape makes possible', () => {
    const demanded = (route: Route): readonly string[] => [
      ...(route.operation.security === undefined ? [] : ['401', '403', '429']),
      ...(route.method === 'GET' ? [] : ['400', '409', '413', '415']),
      ...(route.path.includes('{') ? ['400', '404', '422'] : []),
      ...(route.operation.requestBody === undefined ? [] : ['422']),
      ...(takes(route, 'header', 'If-Match') ? ['412'] : []),
    ];
    const missing = routes.flatMap((route) =>
      demanded(route)
        .filter((status) => !(status in route.operation.responses))
        .map((status) => `${nameOf(route)} ${status}`),
    );
    expect(missing).toEqual([]);
    expect(routes.filter((route) => demanded(route).length > 0).length).toBeGreaterThan(70);
  });

  const json = { 'content-type': 'application/json' };
  const bad: readonly { what: string; want: number; call: Call; path?: (path: string) => string; methods?: RegExp }[] =
    [
      { what: 'nothing of that name', want: 404, call: {} },
      { what: 'no key', want: 401, call: { key: null } },
      { what: 'a body that is no JSON', want: 400, call: { raw: '{"name": ', headers: json }, methods: /^P|DELETE/ },
      { what: 'an unknown field', want: 422, call: { body: { bogus: 1 } }, methods: /^P/ },
      {
        what: 'a body of another type',
        want: 415,
        call: { raw: 'x', headers: { 'content-type': 'text/xml' } },
        methods: /^P|DELETE/,
      },
      {
        what: 'a body that is too large',
        want: 413,
        call: { raw: `"${'x'.repeat(66_000)}"`, headers: json },
        methods: /^P|DELETE/,
      },
      { what: 'an unknown query', want: 422, call: {}, path: (path) => `${path}?bogus=1` },
      { what: 'a name that is none', want: 422, call: {}, path: (path) => path.replace(/nobody/g, 'No%20Body') },
      { what: 'a path that cannot be read', want: 400, call: {}, path: (path) => path.replace(/nobody/g, '%E0%A4%A') },
      {
        what: 'an Idempotency-Key that is none',
        want: 422,
        call: { body: {}, headers: { 'idempotency-key': 'é' } },
        methods: /POST/,
      },
    ];

  it.each(bad)(
    'that $what meets, which is mostly $want, at every route',
    async ({ want, call, path = (same) => same, methods = /./ }) => {
      const asked = routes.filter(({ method }) => methods.test(method));
      const wrong: string[] = [];
      let met = 0;
      for (const route of asked) {
        const at = path(nobodys(route.path));
        const answer = await installation.call(route.method, at, call);
        if (answer.status === want) met += 1;
        wrong.push(...undocumented(route, answer, at));
      }
      expect(wrong).toEqual([]);
      expect(met).toBeGreaterThan(asked.length / 3);
    },
  );
});

describe('U6: what is made says where it is', () => {
  const made: readonly { path: string; body: object; change?: object }[] = [
    { path: '/queues', body: { name: 'q' }, change: { weight: 2 } },
    { path: '/priority-classes', body: { name: 'c', priority: 1 }, change: { priority: 2 } },
    { path: '/tenants', body: { name: 't' } },
    { path: '/models', body: { name: 'm' } },
    { path: '/models/m/versions', body: { files: [{ path: 'model.gguf', sizeBytes: 64 }] } },
    { path: '/budgets', body: { name: 'b', tokens: 1, period: 'day' }, change: { tokens: 2 } },
    { path: '/budgets?tenant=t', body: { name: 'b', tokens: 1, period: 'day' } },
    { path: '/jobs', body: { name: 'j', command: ['true'] } },
  ];

  it.each(made)('POST $path', async ({ path, body, change }) => {
    const answer = await installation.call('POST', `/api/v1${path}`, { body });
    expect(answer.status).toBe(201);
    const address = answer.headers.get('location')!;
    const found = await installation.call('GET', address);
    expect([found.status, found.body.id]).toEqual([200, answer.body.id]);
    const tagOf = ({ body: { revision } }: Answer) => (revision === undefined ? null : `"${revision}"`);
    for (const each of [answer, found]) expect(each.headers.get('etag')).toBe(tagOf(each));
    const route = routes.find(
      (each) => each.method === 'POST' && nobodys(each.path) === `/api/v1${path}`.replace(/\?.*/, ''),
    );
    const documented = route ?? routes.find(({ method, path: at }) => method === 'POST' && at.endsWith('/versions'))!;
    const promised = Object.keys(documented.operation.responses['201']?.headers ?? {});
    expect(promised).toEqual(tagOf(answer) === null ? ['Location'] : ['Location', 'ETag']);
    if (change === undefined) return;
    const again = await installation.call('POST', `/api/v1${path}`, { body });
    const stale = await installation.call('PATCH', address, { body: change, headers: { 'if-match': '"77"' } });
    expect([again.status, stale.status]).toEqual([409, 412]);
  });

  it('and what If-Match takes, some answer to a GET gives as ETag', () => {
    const gives = routes
      .filter(({ method, operation }) => method === 'GET' && 'ETag' in (operation.responses['200']?.headers ?? {}))
      .map(({ path }) => path);
    const taking = routes.filter((route) => takes(route, 'header', 'If-Match'));
    expect(taking.filter(({ path }) => !gives.some((given) => path.startsWith(given))).map(nameOf)).toEqual([]);
    expect(taking.length).toBeGreaterThan(15);
  });

  it('and no operation documents a Location that it does not give', () => {
    const located = routes.filter(({ operation }) => operation.responses['201']?.headers !== undefined).map(nameOf);
    expect(located.sort()).toEqual(
      [
        'budgets',
        'deployments',
        'jobs',
        'models',
        'models/{model}/versions',
        'priority-classes',
        'queues',
        'tenants',
      ].map((collection) => `POST /api/v1/${collection}`),
    );
  });
});

describe('U6: every answer has a body that is described', () => {
  it('but for those that have none', () => {
    const bare = routes.flatMap((route) =>
      Object.entries(route.operation.responses)
        .filter(([status, { content }]) => /^2/.test(status) && status !== '204' && content === undefined)
        .map(([status]) => `${nameOf(route)} ${status}`),
    );
    expect(bare).toEqual(['GET /api/openapi.json 200', 'GET /api/docs/{asset} 200']);
  });

  it.each([
    ['/api/v1/jobs/{name}/logs', 'text/plain'],
    ['/api/v1/jobs/{name}/artifacts/{path}', 'application/octet-stream'],
    ['/api/v1/deployments/{name}/replicas/{replica}/logs', 'text/plain'],
    ['/metrics', 'text/plain'],
  ])('%s is %s, and its refusals are problems', (path, mediaType) => {
    const { responses } = routes.find((route) => route.path === path && route.method === 'GET')!.operation;
    expect(Object.keys(responses['200']?.content ?? {})).toEqual([mediaType]);
    expect(responses['200']?.content?.[mediaType]?.schema).toMatchObject({ type: 'string' });
    expect(Object.keys(responses['401']?.content ?? {})).toEqual(['application/problem+json']);
  });
});
