// Draining clusters, and how deployments are served inside them, over the real HTTP side, leader, Postgres and NATS.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { gguf, type Installation, joinCluster, publishVersion, startInstallation } from './admin.fixture.ts';
import { type Servers, until, WireAgent } from './federation.fixture.ts';

let installation: Installation;
const agents: WireAgent[] = [];
let made = 0;

beforeAll(async () => {
  installation = await startInstallation();
  for (const name of ['chat', 'legal-lora']) {
    await installation.call('POST', '/api/v1/models', { body: { name } });
    await publishVersion(installation, name, gguf(200 + name.length));
  }
}, 60_000);
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop()));
});
afterAll(() => installation?.stop(), 60_000);

interface Joined {
  readonly name: string;
  readonly agent: WireAgent;
}

/** Clusters of a test have a region of their own. */
async function join(region: string, devices = 2): Promise<Joined> {
  made += 1;
  const name = `edge-${made}`;
  const { reply } = await joinCluster(installation, name, { region });
  const agent = await WireAgent.connect({ server: installation.server } as Servers, reply.clusterId, devices);
  agents.push(agent);
  await agent.live();
  await until('its first report', async () => (await clusterOf(name)).observed !== null);
  return { name, agent };
}

const get = async (path: string) => (await installation.call('GET', `/api/v1/${path}`)).body;
const clusterOf = (name: string) => get(`clusters/${name}`);
const deploymentOf = (name: string) => get(`deployments/${name}`);

async function deploy(region: string, extra: Record<string, unknown> = {}): Promise<string> {
  made += 1;
  const name = `chat-${made}`;
  const body = { name, model: 'chat', servedModel: name, selector: { regions: [region] }, ...extra };
  const { status, body: answer } = await installation.call('POST', '/api/v1/deployments', { body });
  expect([status, answer.detail]).toEqual([201, undefined]);
  return name;
}

const isServing =
  (name: string, count = 1) =>
  async () =>
    (await deploymentOf(name)).readyReplicas === count;
const drain = (name: string, body: unknown, query = '') =>
  installation.call('POST', `/api/v1/clusters/${name}/drain${query}`, { body });

describe('draining a cluster', () => {
  it('U4 R7: says what goes where, moves it there first, and says in the end that nothing runs here', async () => {
    const first = await join('move');
    const chat = await deploy('move');
    await until('it serves', isServing(chat));
    const second = await join('move');

    const plan = await drain(first.name, { mode: 'move' }, '?dryRun=true');
    expect(plan).toMatchObject({
      status: 200,
      body: {
        outcome: `1 replicas and 0 attempts of jobs run in ${first.name}; there is room for all replicas elsewhere`,
        replicas: [{ deployment: chat, to: second.name, says: 'goes once its replacement serves' }],
      },
    });
    expect(await clusterOf(first.name)).toMatchObject({ phase: 'Ready', drain: null });

    second.agent.phaseOf = (_id, isDraining) => (isDraining ? null : 'Starting');
    const begun = await drain(first.name, { mode: 'move' });
    expect(begun.body).toMatchObject({
      phase: 'Draining',
      drain: { mode: 'move', deadlineSeconds: 600, isDone: false },
    });
    await until('the replacement starts', async () => second.agent.state?.replicas.length === 1);
    const [old] = first.agent.state!.replicas;
    expect(old).toMatchObject({ draining: false });
    const waiting = await clusterOf(first.name);
    expect(waiting.drain).toMatchObject({ status: 'Being drained (move): 1 replica left.', stage: 'move' });
    expect(waiting.drain.blockedBy[0]).toContain(`${chat}: 1 replica waiting for another place to serve`);

    second.agent.phaseOf = (_id, isDraining) => (isDraining ? null : 'Ready');
    second.agent.report();
    await until('it is empty', async () => (await clusterOf(first.name)).drain.isDone);
    expect((await clusterOf(first.name)).drain).toMatchObject({ status: 'Drained; nothing runs here.', blockedBy: [] });
    expect(await get(`clusters/${first.name}/explain`)).toMatchObject({
      summary: 'drained; nothing runs here',
      findings: expect.arrayContaining([
        expect.objectContaining({
          about: 'drain',
          next: `atoll cluster undrain ${first.name}, when it may take work again`,
        }),
      ]),
    });

    const undone = await installation.call('DELETE', `/api/v1/clusters/${first.name}/drain`);
    expect(undone.body).toMatchObject({ phase: 'Ready', drain: null });
    expect((await deploymentOf(chat)).placements).toMatchObject([{ cluster: second.name }]);
  });

  it('stops at once when that is asked for, and what finds no other place says so', async () => {
    const { name, agent } = await join('stop');
    const chat = await deploy('stop');
    await until('it serves', isServing(chat));
    const plan = await drain(name, { mode: 'stop' }, '?dryRun=true');
    expect(plan.body.replicas).toMatchObject([{ to: null, says: expect.stringContaining('no room for it elsewhere') }]);
    await drain(name, { mode: 'stop' });
    await until('it is empty', async () => (await clusterOf(name)).drain.isDone);
    await until('the agent was told', async () => agent.state?.replicas.length === 0);
    expect((await deploymentOf(chat)).status).toContain('1 being drained');
    await installation.call('DELETE', `/api/v1/clusters/${name}/drain`);
    await until('it serves again', isServing(chat));
  });

  it('waits when that is asked for, and asking again changes how, not since when', async () => {
    const { name } = await join('wait');
    const chat = await deploy('wait');
    await until('it serves', isServing(chat));
    const first = await drain(name, { mode: 'wait', deadlineSeconds: 7_200 });
    const same = await drain(name, { mode: 'wait', deadlineSeconds: 7_200 });
    expect(same.body.drain.since).toBe(first.body.drain.since);
    expect(same.body.drain.blockedBy).toEqual(['until its deadline, in 120 min, replicas stay and jobs run on']);
    const more = await deploy('wait');
    await until('the second is refused', async () => (await deploymentOf(more)).status.includes('being drained'));
    expect(await deploymentOf(chat)).toMatchObject({ readyReplicas: 1 });
  });

  it.each([
    ['no mode', {}, 422],
    ['an unknown mode', { mode: 'explode' }, 422],
    ['a negative deadline', { mode: 'move', deadlineSeconds: -1 }, 422],
    ['a deadline of a year', { mode: 'move', deadlineSeconds: 31_536_000 }, 422],
    ['something else', { mode: 'move', force: true }, 422],
  ])('refuses %s', async (_name, body, status) => {
    const { name } = await join('refused', 0);
    expect((await drain(name, body)).status).toBe(status);
  });

  it('refuses a cluster that is not there, or that nobody accepted', async () => {
    expect((await drain('nowhere', { mode: 'move' })).status).toBe(404);
    await joinCluster(installation, 'edge-unaccepted', { preApproved: false });
    const answer = await drain('edge-unaccepted', { mode: 'move' });
    expect(answer).toMatchObject({ status: 409, body: { detail: expect.stringContaining('accept it first') } });
  });
});

describe('how a deployment is served inside clusters', () => {
  const full = {
    engine: 'vllm',
    routing: { pick: 'power-of-two', spillMs: 50 },
    localScaling: { replicasMax: 3 },
    nodes: { preferred: { disk: 'nvme' } },
    disconnect: { replace: 'never' },
  };

  it('is stored with its defaults, told to agents, and changed without a new replica', async () => {
    const { agent } = await join('served');
    const chat = await deploy('served', {
      ...full,
      adapters: [{ name: 'legal', model: 'legal-lora', version: 1 }],
    });
    await until('it serves', isServing(chat));
    const routing = { pick: 'power-of-two', spillMs: 50, spillRatio: 0.5, prefixHitMin: 0.8, explorationShare: 0.01 };
    const view = await deploymentOf(chat);
    expect(view).toMatchObject({
      engine: 'vllm',
      routing,
      localScaling: { replicasMax: 3, rule: 'target-tracking', targetInflight: 4 },
      nodes: { required: {}, preferred: { disk: 'nvme' } },
      adapters: [{ name: 'legal', model: 'legal-lora', version: 1 }],
      disconnect: { lostAfterSeconds: 300, replace: 'never', reconcile: 'prefer-central' },
    });
    const { versionDigest } = view.adapters[0];
    const [replica] = agent.state!.replicas;
    expect(replica).toMatchObject({ engine: 'vllm', routing, adapters: [{ name: 'legal', versionDigest }] });
    expect(agent.state!.versions.map(({ digest }) => digest)).toContain(versionDigest);

    const change = { engine: null, routing: {}, localScaling: null, nodes: {}, adapters: [] };
    const changed = await installation.call('PATCH', `/api/v1/deployments/${chat}`, { body: change });
    expect(changed.body).toMatchObject({ engine: null, localScaling: null, adapters: [] });
    await until('the agent is told', async () => agent.state?.replicas[0]?.engine === undefined);
    expect(agent.state!.replicas).toEqual([
      {
        ...{ replicaId: replica!.replicaId, deploymentId: view.id, deploymentName: chat, servedModel: chat },
        ...{ versionDigest: view.versionDigest, claim: view.claim, epoch: replica!.epoch, draining: false },
      },
    ]);
  });

  it.each<[string, Record<string, unknown>, string, string]>([
    ['an adapter of no model', { adapters: [adapter('a', 'nothing')] }, 'adapters.0.model', 'there is no model'],
    ['an adapter of no version', { adapters: [adapter('a', 'legal-lora', 9)] }, 'adapters.0.version', 'does not exist'],
    ['two of one name', { adapters: [adapter('a'), adapter('a')] }, 'adapters.1.name', 'another adapter'],
    [
      'one that is called as the deployment',
      { servedModel: 'b', adapters: [adapter('b')] },
      'adapters.0.name',
      'itself',
    ],
    [
      'one that is called as another deployment',
      { adapters: [adapter('taken')] },
      'adapters.0.name',
      'deployment "owner"',
    ],
    ['a name that is an adapter elsewhere', { servedModel: 'legal-owned' }, 'servedModel', 'an adapter of deployment'],
    ['a bound below one replica', { localScaling: { replicasMax: 0 } }, 'localScaling.replicasMax', '1'],
    ['an unknown pick', { routing: { pick: 'best' } }, 'routing.pick', 'predicted-first-token'],
    ['an odd label', { nodes: { required: { 'no spaces': 'x' } } }, 'nodes.required', ''],
    ['an odd engine', { engine: 'V LLM' }, 'engine', 'DNS label'],
  ])('refuses %s and names the field', async (_name, extra, field, words) => {
    const owner = {
      name: 'owner',
      model: 'chat',
      servedModel: 'taken',
      replicas: 0,
      adapters: [adapter('legal-owned')],
    };
    await installation.call('POST', '/api/v1/deployments', { body: owner });
    const body = { name: 'refused', model: 'chat', replicas: 0, ...extra };
    const { status, body: problem } = await installation.call('POST', '/api/v1/deployments', { body });
    expect(status).toBe(422);
    expect(JSON.stringify(problem.errors)).toContain(field);
    expect(JSON.stringify(problem)).toContain(words.replaceAll('"', '\\"'));
  });

  it('keeps a version that is an adapter from being removed', async () => {
    await deploy('kept', { replicas: 0, adapters: [adapter('kept-lora')] });
    const answer = await installation.call('DELETE', '/api/v1/models/legal-lora/versions/1');
    expect(answer).toMatchObject({ status: 409, body: { detail: expect.stringContaining('adapter of deployment') } });
  });
});

function adapter(name: string, model = 'legal-lora', version = 1) {
  return { name, model, version };
}
