import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { aCluster, aDeployment, aKey, aPlan, aVersion, ID } from '../test/builders.fixture.ts';
import { AdminServer, page, problem, run, TOKEN } from '../test/cli.fixture.ts';

let server: AdminServer;
beforeAll(async () => {
  server = await AdminServer.start();
});
beforeEach(() => server.forget());
afterAll(() => server.stop());

const badUsage: readonly [command: string, wantInMessage: string][] = [
  ['clustr list', 'unknown command'],
  ['cluster list extra', 'too many arguments'],
  ['cluster list --output csv', 'Allowed choices are table, json, yaml'],
  ['cluster list --colour', "unknown option '--colour'"],
  ['cluster show', "missing required argument 'name'"],
  ['cluster show Not_A_Label', 'must be a DNS label'],
  ['cluster accept -', 'must be a DNS label'],
  ['cluster cordon', "missing required argument 'name'"],
  ['cluster uncordon UPPER', 'must be a DNS label'],
  ['cluster label edge', "missing required argument 'change'"],
  ['cluster label edge novalue', 'key=value'],
  ['cluster label edge a=b a-', 'both set and taken away'],
  ['cluster label edge bad!key=1', 'must be a label key'],
  ['cluster remove', "missing required argument 'name'"],
  ['cluster token create edge', "required option '--kind <kind>' not specified"],
  ['cluster token create edge --kind middle', 'Allowed choices are central, edge'],
  ['cluster token create edge --kind edge --label x', 'key=value'],
  ['cluster token create edge --kind edge --token-out /nonexistent/token', 'its folder does not exist'],
  ['model create', "missing required argument 'name'"],
  ['model create Bad', 'must be a DNS label'],
  ['model remove', "missing required argument 'name'"],
  ['model versions', "missing required argument 'model'"],
  ['model remove-version tiny-llm 0', 'a whole number of at least 1'],
  ['model publish tiny-llm', "missing required argument 'path'"],
  ['model publish tiny-llm /nonexistent', 'no such file or folder'],
  ['model publish tiny-llm . --resume one', 'a whole number of at least 1'],
  ['deployment create chat', "required option '--model <model>' not specified"],
  ['deployment create chat --model m --replicas -1', 'a whole number from 0 to 10000'],
  ['deployment create chat --model m --replicas 1e3', 'a whole number from 0 to 10000'],
  ['deployment create chat --model m --version v2', 'a whole number of at least 1'],
  ['deployment create chat --model m --kind both', 'Allowed choices are central, edge'],
  ['deployment create chat --model m --label x', 'key=value'],
  ['deployment create chat --model m --device-type tpu', 'Allowed choices are nvidia.com/gpu'],
  ['deployment create chat --model m --device-count 0', 'a whole number from 1 to 4096'],
  ['deployment create chat --model m --device-memory lots', 'a number of bytes such as'],
  ['deployment create chat --model m --timeout 0', 'a whole number from 1 to 86400'],
  ['deployment create chat --model m --dry-run --wait', 'cannot be used with option'],
  ['deployment scale chat', "missing required argument 'replicas'"],
  ['deployment scale chat many', 'a whole number from 0 to 10000'],
  ['deployment set-version chat 1.5', 'a whole number of at least 1'],
  ['deployment delete', "missing required argument 'name'"],
  ['deployment explain', "missing required argument 'name'"],
  ['deployment wait chat --timeout soon', 'a whole number from 1 to 86400'],
  ['explain deployment', "missing required argument 'name'"],
  ['key create', "missing required argument 'name'"],
  ['key create ci --role king', 'Allowed choices are owner, admin'],
  ['key create ci --expires-in 1y', 'a duration such as 90s'],
  ['key create ci --expires-in 5s', 'from 60 to 315360000 seconds'],
  ['key revoke', "missing required argument 'key'"],
  ['chat tiny-llm', "missing required argument 'prompt'"],
  ['chat tiny-llm hello --temperature 3', 'a number from 0 to 2'],
  ['chat tiny-llm - --gateway-url http://127.0.0.1:1', 'the prompt is empty'],
  ['config --effective', "required option '--process <name>' not specified"],
  ['config --effective --process database', 'Allowed choices are gateway'],
  ['config --process gateway', 'say --effective'],
  ['config --effective --process engine', 'see --process agent'],
];

describe('a wrong command exits 2, says what would be right and calls nobody', () => {
  it.each(badUsage)('atoll %s', async (command, wantInMessage) => {
    const { exitCode, out, err } = await server.run(command.split(' '));
    expect({ exitCode, out, calls: server.seen }).toEqual({ exitCode: 2, out: '', calls: [] });
    expect(err).toContain(wantInMessage);
    expect(err).not.toContain('    at ');
  });
});

const calls: readonly [command: string, answers: Record<string, object>, wantCall: object][] = [
  [
    'cluster accept edge',
    { 'POST /clusters/edge/accept': { body: aCluster() } },
    { call: 'POST /clusters/edge/accept' },
  ],
  ['cluster cordon edge', { 'PATCH /clusters/edge': { body: aCluster() } }, { body: { cordoned: true } }],
  ['cluster uncordon edge', { 'PATCH /clusters/edge': { body: aCluster() } }, { body: { cordoned: false } }],
  [
    'cluster label edge new=1 old-',
    { 'GET /clusters/edge': { body: aCluster() }, 'PATCH /clusters/edge': { body: aCluster() } },
    { body: { labels: { site: 'harbour', new: '1' } }, headers: { 'if-match': '"7"' } },
  ],
  ['cluster remove edge', { 'DELETE /clusters/edge': { status: 204 } }, { call: 'DELETE /clusters/edge' }],
  [
    'model create m',
    { 'POST /models': { body: { id: ID, name: 'm', createdAt: '2030-01-01T00:00:00Z', revision: 1 } } },
    { body: { name: 'm' } },
  ],
  ['model remove m', { 'DELETE /models/m': { status: 204 } }, { call: 'DELETE /models/m' }],
  [
    'model remove-version m 3',
    { 'DELETE /models/m/versions/3': { status: 204 } },
    { call: 'DELETE /models/m/versions/3' },
  ],
  [
    'deployment create chat --model m --version 2 --replicas 3 --kind edge --region cn-east --label site=harbour --cluster a --cluster b --device-type nvidia.com/gpu --device-count 2 --device-memory 24G',
    { 'POST /deployments': { status: 201, body: aDeployment() } },
    {
      body: {
        name: 'chat',
        model: 'm',
        version: 2,
        replicas: 3,
        claim: {
          deviceType: 'nvidia.com/gpu',
          count: 2,
          memoryBytesPerDevice: 24e9,
          schedulingPolicy: { topologyScope: 'node' },
        },
        selector: { kinds: ['edge'], regions: ['cn-east'], labels: { site: 'harbour' }, clusterNames: ['a', 'b'] },
      },
    },
  ],
  [
    'deployment create chat --model m --dry-run',
    { 'POST /deployments': { body: aPlan } },
    { call: 'POST /deployments?dryRun=true' },
  ],
  ['deployment scale chat 0', { 'PATCH /deployments/chat': { body: aDeployment() } }, { body: { replicas: 0 } }],
  [
    'deployment scale chat 2 --dry-run',
    { 'PATCH /deployments/chat': { body: aPlan } },
    { call: 'PATCH /deployments/chat?dryRun=true' },
  ],
  ['deployment set-version chat 2', { 'PATCH /deployments/chat': { body: aDeployment() } }, { body: { version: 2 } }],
  ['deployment delete chat', { 'DELETE /deployments/chat': { status: 204 } }, { call: 'DELETE /deployments/chat' }],
  [
    'deployment delete chat --dry-run',
    { 'DELETE /deployments/chat': { body: aPlan } },
    { call: 'DELETE /deployments/chat?dryRun=true' },
  ],
  [
    'key revoke ci',
    { 'GET /api-keys': page(aKey()), [`DELETE /api-keys/${ID}`]: { status: 204 } },
    { call: `DELETE /api-keys/${ID}` },
  ],
];

describe('a right command sends what it says and exits 0', () => {
  it.each(calls)('atoll %s', async (command, answers, wantCall) => {
    for (const [call, answer] of Object.entries(answers)) server.on(call, answer);
    const { exitCode, err } = await server.run(command.split(' '));
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    expect(server.seen.at(-1)).toMatchObject(wantCall);
    expect(server.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });
});

describe('a refusal exits 1 with the problem and its fields', () => {
  it('prints title, detail and each field, and no stack', async () => {
    server.on(
      'POST /models',
      problem(422, 'invalid', 'The request is not valid.', [{ field: '$.name', message: 'is taken' }]),
    );
    expect(await server.run(['model', 'create', 'm'])).toEqual({
      exitCode: 1,
      out: '',
      err: 'error: invalid: The request is not valid.\n  $.name: is taken\n',
    });
  });

  it('says when nobody answers', async () => {
    const told = await run(['cluster', 'list'], { env: { ATOLL_URL: 'http://127.0.0.1:1', ATOLL_TOKEN: TOKEN } });
    expect(told).toEqual({
      exitCode: 1,
      out: '',
      err: 'error: The control plane at http://127.0.0.1:1 does not answer. Is it running?\n',
    });
  });

  it('says when what answers is not Atoll', async () => {
    server.on('GET /clusters', (_request, response) => response.end('<html>welcome</html>'));
    const { exitCode, err } = await server.run(['cluster', 'list']);
    expect({ exitCode, err }).toEqual({
      exitCode: 1,
      err: expect.stringContaining('Do the versions match?') as unknown as string,
    });
  });

  it('names keys of one name rather than revoking any', async () => {
    server.on('GET /api-keys', page(aKey(), aKey({ publicId: 'pub2' })));
    const { exitCode, err } = await server.run(['key', 'revoke', 'ci']);
    expect({ exitCode, err }).toEqual({
      exitCode: 1,
      err: 'error: 2 keys are named "ci"; name one by its public id: pub1, pub2\n',
    });
  });
});

const reads: readonly [command: string, call: string, answer: object, value: unknown][] = [
  ['cluster list', 'GET /clusters', page(aCluster()), [aCluster()]],
  ['cluster show edge', 'GET /clusters/edge', { body: aCluster() }, aCluster()],
  ['model versions m', 'GET /models/m/versions', page(aVersion()), [aVersion()]],
  ['deployment list', 'GET /deployments', page(aDeployment()), [aDeployment()]],
  ['deployment show chat', 'GET /deployments/chat', { body: aDeployment() }, aDeployment()],
  ['key list', 'GET /api-keys', page(aKey()), [aKey()]],
];

describe('reads', () => {
  it.each(reads)('atoll %s: whole as JSON, within 80 columns as a table', async (command, call, answer, value) => {
    server.on(call, answer);
    const json = await server.run([...command.split(' '), '--output', 'json']);
    expect(JSON.parse(json.out)).toEqual(value);
    const table = await server.run(command.split(' '));
    expect(table.exitCode).toBe(0);
    expect(Math.max(...table.out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('shows clusters with relative times', async () => {
    server.on(
      'GET /clusters',
      page(aCluster(), aCluster({ name: 'dc-1', kind: 'central', observed: null, cordoned: true })),
    );
    expect((await server.run(['cluster', 'list'])).out).toBe(
      [
        'NAME           KIND     REGION   PHASE            DEVICES  REPLICAS  REPORTED',
        'edge-shanghai  edge     cn-east  Ready            1 cpu    0/0       3 s ago',
        'dc-1           central  cn-east  Ready, cordoned  -        -         never',
        '',
      ].join('\n'),
    );
  });

  it('lets no agent steer the terminal', async () => {
    server.on('GET /deployments/chat', { body: aDeployment({ status: 'fine\u001b[2J\u0007' }) });
    const { out } = await server.run(['deployment', 'show', 'chat']);
    expect(out).toContain('Status:         fine[2J\n');
  });

  it('explains with the reason of every candidate', async () => {
    server.on('GET /deployments/chat/explain', { body: aPlan });
    server.on('GET /deployments/chat', { body: aDeployment() });
    const { out } = await server.run(['explain', 'deployment', 'chat']);
    expect(out).toContain('0/2 clusters fit: 1 lacks nvidia.com/gpu');
    expect(out).toMatch(/dc-1 +- +no: is of kind central \(kind\)/);
    expect(out).toMatch(/edge-shanghai +0\.50 +spread 0\.50/);
  });
});
