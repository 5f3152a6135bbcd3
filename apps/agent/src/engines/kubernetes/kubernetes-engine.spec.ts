import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { startHealthServer } from '../../../test/health-server.fixture.ts';
import { type AnyObject, KubernetesApiFixture } from '../../../test/kubernetes-api.fixture.ts';
import { until } from '../../../test/temporary-folder.ts';
import { KubernetesApi } from '../../kubernetes/api.ts';
import { ANNOTATIONS, LABELS } from '../../kubernetes/names.ts';
import type { EngineInstance, EngineSpec } from '../engine-adapter.ts';
import { specHashOf } from '../instance-folder.ts';
import { kubernetesEngineSchema } from './configuration.ts';
import { KubernetesEngine } from './kubernetes-engine.ts';

const DIGEST = 'd'.repeat(64);
const log = pino({ level: 'silent' });

const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
  replicaId: '0192e4c1-0000-7000-8000-000000000001',
  deploymentId: '0192e4c1-0000-7000-8000-000000000002',
  versionDigest: DIGEST,
  servedModel: 'chat',
  modelPath: `/var/lib/atoll/${DIGEST}`,
  maxConcurrent: 4,
  maxQueue: 64,
  engine: 'vllm',
  claim: { deviceType: 'nvidia.com/gpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  ...change,
});

describe('engines in Kubernetes', () => {
  let server: KubernetesApiFixture;
  let health: Awaited<ReturnType<typeof startHealthServer>>;
  let engine: KubernetesEngine;
  const opened: KubernetesEngine[] = [];
  const open = (change: object = {}, options: { listMs?: number } = {}) => {
    const configuration = kubernetesEngineSchema.parse({
      kind: 'kubernetes',
      namespace: 'models',
      image: 'vllm:1',
      address: health.url,
      terminationGraceSeconds: 0,
      ...change,
    });
    const connection = server.connection();
    const api = new KubernetesApi({ connection, namespace: 'models', agent: 'UAGENT', retryMs: 1, timeoutMs: 5_000 });
    const made = new KubernetesEngine({ name: 'vllm', configuration, api, pollMs: 5, log, ...options });
    opened.push(made);
    return made;
  };
  const deployments = () => server.list('deployments');
  const nameOf = ({ instanceId }: EngineInstance) => `atoll-${instanceId}`;
  /** What the Deployment's controller, the scheduler and the kubelet do. */
  const pod = (instance: EngineInstance, status: AnyObject): AnyObject => {
    const { template } = server.get('deployments', nameOf(instance)).spec;
    const metadata = { name: `${nameOf(instance)}-x`, namespace: 'models', labels: template.metadata.labels };
    return server.put({ apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec, status }, 'kubelet');
  };
  const running = { phase: 'Running', podIP: '10.0.0.7', conditions: [{ type: 'Ready', status: 'True' }] };
  const becomes = async (instance: EngineInstance, state: string) =>
    until(
      async () => {
        const seen = await engine.probe(instance);
        return seen.state === state ? seen : undefined;
      },
      `it is ${state}`,
      5_000,
    );

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    health = await startHealthServer();
    engine = open();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
    await health.stop();
    await server.stop();
  });

  it('starts a Deployment with a Service that goes with it, and is ready when it answers', async () => {
    const instance = await engine.start(specOf(), 1);
    const [service] = server.list('services');
    expect(service.metadata.ownerReferences).toMatchObject([{ kind: 'Deployment', name: nameOf(instance) }]);
    expect(await engine.probe(instance)).toEqual({ state: 'starting', reason: '' });

    health.isWell = false;
    pod(instance, { ...running, conditions: [] });
    expect((await engine.probe(instance)).state).toBe('starting');
    health.isWell = true;
    expect(await becomes(instance, 'ready')).toEqual({ state: 'ready', url: health.url, token: null });
  });

  it('says why no node takes it', async () => {
    const instance = await engine.start(specOf(), 1);
    const message = '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.';
    const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }];
    pod(instance, { phase: 'Pending', conditions });
    const state = await until(async () => {
      const seen = await engine.probe(instance);
      return seen.state === 'starting' && seen.reason !== '' ? seen : undefined;
    }, 'it says why');
    expect(state).toEqual({ state: 'starting', reason: `No node takes it: ${message}` });
  });

  it('says why its pod may not be made', async () => {
    const instance = await engine.start(specOf(), 1);
    const live = server.get('deployments', nameOf(instance));
    const conditions = [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota: gpus' }];
    server.put({ ...live, status: { conditions } });
    const state = await until(async () => {
      const seen = await engine.probe(instance);
      return seen.state === 'starting' && seen.reason !== '' ? seen : undefined;
    }, 'it says why');
    expect(state).toEqual({ state: 'starting', reason: 'Its pod cannot be made: exceeded quota: gpus' });
  });

  it('a crash loop is told with its code and its last words', async () => {
    const instance = await engine.start(specOf(), 1);
    const lastState = { terminated: { exitCode: 1, reason: 'Error' } };
    const state = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 20s' } };
    const { metadata } = pod(instance, { phase: 'Running', containerStatuses: [{ name: 'engine', state, lastState }] });
    server.logs.set(`${metadata.name}:previous`, 'loading\nCUDA out of memory\n');
    expect(await becomes(instance, 'gone')).toEqual({
      state: 'gone',
      reason: 'It ended with code 1; its last words: CUDA out of memory',
    });
  });

  it('one that does not answer any more is silent', async () => {
    const instance = await engine.start(specOf(), 1);
    pod(instance, running);
    await becomes(instance, 'ready');
    health.isWell = false;
    expect((await engine.probe(instance)).state).toBe('silent');
  });

  it('a Deployment that somebody else removed is gone', async () => {
    const instance = await engine.start(specOf(), 1);
    server.drop('deployments', nameOf(instance));
    expect(await becomes(instance, 'gone')).toEqual({
      state: 'gone',
      reason: `Its Deployment ${nameOf(instance)} was removed by somebody else.`,
    });
  });

  describe('while the API server is away', () => {
    it('R4: an engine that answers stays ready', async () => {
      const instance = await engine.start(specOf(), 1);
      pod(instance, running);
      await becomes(instance, 'ready');
      server.isAway = true;
      server.cutWatches();
      expect((await engine.probe(instance)).state).toBe('ready');
    });

    it('a start fails with the reason, and makes nothing twice afterwards', async () => {
      server.isAway = true;
      await expect(engine.start(specOf(), 1)).rejects.toThrow(
        'The engine cannot be started: The Kubernetes API cannot',
      );
      server.isAway = false;
      await engine.start(specOf(), 2);
      expect(deployments()).toHaveLength(1);
    });

    it('R10: what was to be stopped is ended when it is back', async () => {
      const instance = await engine.start(specOf(), 1);
      const stopping = engine.stop(instance);
      server.isAway = true;
      server.cutWatches();
      await until(() => server.watching === 0, 'nothing is watched');
      server.isAway = false;
      await stopping;
      expect([...deployments(), ...server.list('services')]).toEqual([]);
    });
  });

  describe('stop', () => {
    it('resolves when no pod is left', async () => {
      const instance = await engine.start(specOf(), 1);
      pod(instance, running);
      server.holdsDeletions = true;
      let isStopped = false;
      const stopping = engine.stop(instance).then(() => {
        isStopped = true;
      });
      await until(() => deployments()[0]?.metadata.deletionTimestamp !== undefined, 'it is asked to go');
      expect(isStopped).toBe(false);
      server.finishDeletions();
      await stopping;
      expect([...deployments(), ...server.list('services'), ...server.list('pods')]).toEqual([]);
    });

    it('twice, and of one that is gone, is no error', async () => {
      const instance = await engine.start(specOf(), 1);
      await Promise.all([engine.stop(instance), engine.stop(instance)]);
      await engine.stop(instance);
      expect(deployments()).toEqual([]);
    });
  });

  describe('an agent that comes after', () => {
    it('R5: takes over what still fits, proven or not', async () => {
      const instance = await engine.start(specOf(), 3);
      await engine.noteProven(instance);
      const next = open();
      expect(await next.list()).toEqual([{ ...instance, isProven: true }]);
      expect(instance.specHash).toBe(specHashOf(specOf()));
      expect(deployments()).toHaveLength(1);
    });

    it('R5: a configuration that is another one makes another spec of it', async () => {
      const instance = await engine.start(specOf(), 1);
      const [found] = await open({ image: 'vllm:2' }).list();
      expect(found).toMatchObject({ instanceId: instance.instanceId });
      expect(found!.specHash).not.toBe(instance.specHash);
    });

    it('R10: when it could not list, a start takes over what is there', async () => {
      const instance = await engine.start(specOf(), 1);
      expect(await open().start(specOf(), 1)).toEqual(instance);
      expect(deployments()).toHaveLength(1);
    });

    it('R10: a start ends what its replica had and does not fit', async () => {
      const old = await engine.start(specOf(), 1);
      const made = await open().start(specOf({ contextSize: 4_096 }), 2);
      expect(made.instanceId).not.toBe(old.instanceId);
      expect(deployments().map(({ metadata }) => metadata.name)).toEqual([nameOf(made)]);
    });

    it('R10: removes what says nothing that can be read, and Services of nobody', async () => {
      const broken = await engine.start(specOf(), 1);
      const live = server.get('deployments', nameOf(broken));
      const annotations = { ...live.metadata.annotations, [ANNOTATIONS.spec]: '{"replicaId":' };
      server.put({ ...live, metadata: { ...live.metadata, annotations } });
      const service = server.get('services', nameOf(broken));
      server.put({ ...service, metadata: { ...service.metadata, name: 'stray', ownerReferences: [] } });
      expect(await open().list()).toEqual([]);
      await until(() => deployments().length + server.list('services').length === 0, 'all of it is gone');
    });

    it('never touches what is not its own', async () => {
      const instance = await engine.start(specOf(), 1);
      const live = server.get('deployments', nameOf(instance));
      const foreign = (name: string, labels: AnyObject) =>
        server.put({ ...live, metadata: { ...live.metadata, name, uid: undefined, labels } });
      foreign('of-another-agent', { ...live.metadata.labels, [LABELS.agent]: 'UOTHER' });
      foreign('of-helm', { ...live.metadata.labels, 'app.kubernetes.io/managed-by': 'Helm' });
      foreign('of-another-engine', { ...live.metadata.labels, [LABELS.engine]: 'sglang' });
      const found = await open().list();
      await open().start(specOf({ contextSize: 1_024 }), 2);
      expect(found.map(({ instanceId }) => instanceId)).toEqual([instance.instanceId]);
      expect(deployments().map(({ metadata }) => metadata.name)).toEqual(
        expect.arrayContaining(['of-another-agent', 'of-helm', 'of-another-engine']),
      );
    });

    it('does not wait for an API server that is away, and says that nothing is known', async () => {
      server.isAway = true;
      expect(await open({}, { listMs: 20 }).list()).toEqual([]);
    });
  });

  it('asks the API by watches: many probes are no requests', async () => {
    const instance = await engine.start(specOf(), 1);
    pod(instance, running);
    await becomes(instance, 'ready');
    const before = server.seen.length;
    for (let probe = 0; probe < 50; probe += 1) await engine.probe(instance);
    expect(server.seen.length - before).toBe(0);
  });
});
