import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  aCluster,
  aDeployment,
  aKey,
  aModel,
  anAgreement,
  anAlias,
  anArtifact,
  aPlan,
  aRollout,
  aSyncCluster,
  aVersion,
  aVersionSync,
  ID,
} from '../test/builders.fixture.ts';
import { adminServer, page, problem, run, TOKEN } from '../test/cli.fixture.ts';

const { server } = adminServer();

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
  ['cluster sync', "missing required argument 'name'"],
  ['cluster sync edge --mode daily', 'Allowed choices are snapshot, incremental'],
  ['cluster sync edge --cron daily', 'a cron expression of five fields'],
  ['cluster sync edge --window 2-5', 'such as 02:00-05:00'],
  ['cluster sync edge --time-zone Mars/Base', 'an IANA time zone'],
  ['cluster sync edge --rate 40M', 'Write 40Mbit/s or 40MB/s'],
  ['clusters sync edge --rate fast', 'a rate such as 40Mbit/s'],
  ['model create', "missing required argument 'name'"],
  ['model create Bad', 'must be a DNS label'],
  ['model remove', "missing required argument 'name'"],
  ['model versions', "missing required argument 'model'"],
  ['model remove-version tiny-llm 0', 'a whole number of at least 1'],
  ['model publish tiny-llm', "missing required argument 'path'"],
  ['model publish tiny-llm /nonexistent', 'no such file or folder'],
  ['model publish tiny-llm . --resume one', 'a whole number of at least 1'],
  ['model publish tiny-llm . --parent first', 'a whole number of at least 1'],
  ['model publish tiny-llm . --metadata run', 'key=value'],
  ['model publish tiny-llm . --resume 2 --parent 1', 'cannot be used with option'],
  ['model publish tiny-llm . --sign /nonexistent/key', 'no such file'],
  ['model show', "missing required argument 'name'"],
  ['model policy m --snapshot-cron hourly', 'a cron expression of five fields'],
  ['model policy m --keep-versions 0', 'a whole number from 1 to 10000'],
  ['model alias m stable', "missing required argument 'version'"],
  ['model alias m Stable 2', 'must be a DNS label'],
  ['model unalias m', "missing required argument 'alias'"],
  ['model diff m first 2', 'the number of a version, or none'],
  ['model diff m 1 2 --profile tiny', 'Allowed choices are fast, small'],
  ['model sync m two', 'a whole number of at least 1'],
  ['model agreement', "missing required argument 'model'"],
  ['model keygen', "missing required argument 'file'"],
  ['model keygen /nonexistent/key', 'its folder does not exist'],
  ['models keygen', "missing required argument 'file'"],
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
  ['deployment create chat --model m --version 2 --alias stable', 'cannot be used with option'],
  ['deployment create chat --model m --wave 200%', 'from 1% to 100%'],
  ['deployment create chat --model m --wave 25%:soak=fast', 'a duration such as'],
  ['deployment create chat --model m --abort-errors 5', 'a percentage from 0% to 100%'],
  ['deployment create chat --model m --abort-latency 0.5x', 'a multiple from 1x to 1000x'],
  ['deployment create chat --model m --no-abort --abort-errors 5%', '--no-abort contradicts'],
  ['deployment update chat', 'nothing to change was said'],
  ['deployment update chat --strict --rolling', 'contradict each other'],
  ['deployment rollout', "missing required argument 'name'"],
  ['deployment pause', "missing required argument 'name'"],
  ['deployment rollback chat --to before', 'a whole number of at least 1'],
  ['deployments rollback', "missing required argument 'name'"],
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
  ['chat tiny-llm hello --min-version 0', 'a whole number of at least 1'],
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

const calls: readonly (readonly [command: string, answers: Record<string, object>, wantCall: object])[] = [
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
  ['model create m', { 'POST /models': { body: aModel({ name: 'm' }) } }, { body: { name: 'm' } }],
  [
    'cluster sync edge --mode snapshot --window 22:00-6:00 --window 12:00-13:00 --time-zone Asia/Shanghai --rate 40Mbit/s',
    { 'PATCH /clusters/edge': { body: aCluster() } },
    {
      body: {
        sync: {
          mode: 'snapshot',
          windows: [
            { from: '22:00', to: '06:00' },
            { from: '12:00', to: '13:00' },
          ],
          timeZone: 'Asia/Shanghai',
          bytesPerSecondMax: 5e6,
        },
      },
    },
  ],
  [
    'clusters sync edge --no-window --rate unlimited',
    { 'PATCH /clusters/edge': { body: aCluster() } },
    { body: { sync: { windows: [], bytesPerSecondMax: null } } },
  ],
  ['cluster sync edge', { 'GET /clusters/edge': { body: aCluster() } }, { call: 'GET /clusters/edge' }],
  [
    'model policy m --keep-versions 3 --keep-days 0',
    { 'PATCH /models/m': { body: aModel() } },
    { body: { policy: { keepVersions: 3, keepDays: 0 } } },
  ],
  [
    'model alias m stable 2',
    { 'PUT /models/m/aliases/stable': { body: anAlias() } },
    { call: 'PUT /models/m/aliases/stable', body: { version: 2 } },
  ],
  [
    'models unalias m stable',
    { 'DELETE /models/m/aliases/stable': { status: 204 } },
    { call: 'DELETE /models/m/aliases/stable' },
  ],
  [
    'model diff m 1 2 --profile small',
    { 'POST /models/m/artifacts': { status: 202, body: anArtifact({ phase: 'Wanted', bytes: 0, percent: null }) } },
    { body: { base: 1, version: 2, profile: 'small' } },
  ],
  [
    'model diff m none 2',
    { 'POST /models/m/artifacts': { body: anArtifact({ base: null, profile: 'snapshot' }) } },
    { body: { base: null, version: 2, profile: 'fast' } },
  ],
  [
    'model sync m 2',
    { 'GET /models/m/versions/2/sync': { body: aVersionSync(aSyncCluster()) } },
    { call: 'GET /models/m/versions/2/sync' },
  ],
  [
    'model sync m',
    {
      'GET /models/m/versions': page(aVersion({ number: 3, phase: 'Uploading' }), aVersion({ number: 2 }), aVersion()),
      'GET /models/m/versions/2/sync': { body: aVersionSync(aSyncCluster()) },
    },
    { call: 'GET /models/m/versions/2/sync' },
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
    {
      'POST /deployments': { body: aPlan },
      'GET /models/m/versions': page(aVersion({ number: 2 })),
      'GET /models/m/versions/2/sync': { body: aVersionSync(aSyncCluster()) },
    },
    { call: 'GET /models/m/versions/2/sync' },
  ],
  [
    'deployment create chat --model m --alias stable --dry-run',
    {
      'POST /deployments': { body: aPlan },
      'GET /models/m/aliases': page(anAlias()),
      'GET /models/m/versions/2/sync': { body: aVersionSync(aSyncCluster()) },
    },
    { call: 'GET /models/m/versions/2/sync' },
  ],
  [
    'deployment create chat --model m --alias stable --wave edge-1:soak=30s --wave 25%:pause --strict --abort-errors 10%',
    { 'POST /deployments': { status: 201, body: aDeployment() } },
    {
      body: {
        alias: 'stable',
        rollout: {
          waves: [
            { clusterNames: ['edge-1'], soakSeconds: 30, pauseAfter: false },
            { percent: 25, soakSeconds: 0, pauseAfter: true },
          ],
          abort: { errorRateAbove: 0.1, firstByteRatioAbove: 3, requestsMin: 20, failedStarts: 3 },
          consistency: 'strict',
        },
      },
    },
  ],
  [
    'deployment update chat --version 2 --no-abort',
    { 'GET /deployments/chat': { body: aDeployment() }, 'PATCH /deployments/chat': { body: aDeployment() } },
    { body: { version: 2, rollout: { ...aDeployment().rolloutPolicy, abort: null } } },
  ],
  [
    'deployment update chat --alias canary',
    { 'PATCH /deployments/chat': { body: aDeployment() } },
    { body: { alias: 'canary' } },
  ],
  [
    'deployment update chat --version 2 --dry-run',
    {
      'PATCH /deployments/chat': { body: aPlan },
      'GET /deployments/chat': { body: aDeployment() },
      'GET /models/tiny-llm/versions/2/sync': { body: aVersionSync(aSyncCluster()) },
    },
    { call: 'GET /models/tiny-llm/versions/2/sync' },
  ],
  ...(['pause', 'resume', 'abort'] as const).map(
    (verb) =>
      [
        `deployment ${verb} chat`,
        { [`POST /deployments/chat/rollout/${verb}`]: { body: aDeployment({ rollout: aRollout() }) } },
        { call: `POST /deployments/chat/rollout/${verb}` },
      ] as const,
  ),
  [
    'deployment rollback chat --to 1',
    { 'POST /deployments/chat/rollback': { body: aDeployment() } },
    { call: 'POST /deployments/chat/rollback', body: { version: 1 } },
  ],
  [
    'deployments rollback chat --dry-run',
    { 'POST /deployments/chat/rollback': { body: aPlan } },
    { call: 'POST /deployments/chat/rollback?dryRun=true', body: {} },
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
  ['model show m', 'GET /models/m', { body: aModel() }, { ...aModel(), aliases: [], versions: [] }],
  ['model version m 1', 'GET /models/m/versions/1', { body: aVersion() }, aVersion()],
  ['model aliases m', 'GET /models/m/aliases', page(anAlias()), [anAlias()]],
  ['model artifacts m', 'GET /models/m/artifacts', page(anArtifact()), [anArtifact()]],
  [
    'model sync m 2',
    'GET /models/m/versions/2/sync',
    { body: aVersionSync(aSyncCluster()) },
    aVersionSync(aSyncCluster()),
  ],
  ['model agreement m', 'GET /models/m/agreement', { body: anAgreement() }, anAgreement()],
  ['deployment rollout chat', 'GET /deployments/chat/rollouts', page(aRollout()), [aRollout()]],
  ['deployment list', 'GET /deployments', page(aDeployment()), [aDeployment()]],
  ['deployment show chat', 'GET /deployments/chat', { body: aDeployment() }, aDeployment()],
  ['key list', 'GET /api-keys', page(aKey()), [aKey()]],
];

describe('reads', () => {
  beforeEach(() => {
    for (const call of ['GET /models/m/aliases', 'GET /models/m/versions']) server.on(call, page());
  });

  it.each(reads)('atoll %s: whole as JSON, within 80 columns as a table', async (command, call, answer, value) => {
    server.on(call, answer);
    const json = await server.run([...command.split(' '), '--output', 'json']);
    expect(JSON.parse(json.out)).toEqual(value);
    expect((await server.run([...command.split(' '), '--json'])).out).toBe(json.out);
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
