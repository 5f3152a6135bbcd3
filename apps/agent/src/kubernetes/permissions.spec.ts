import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfiguration } from '#configuration';
import { type AnyObject, KubernetesApiFixture, type Rule } from '../../test/kubernetes-api.fixture.ts';
import { schemaProblems } from '../../test/kubernetes-schemas.fixture.ts';
import { until } from '../../test/temporary-folder.ts';
import { agentConfiguration } from '../configuration.ts';
import type { EngineSpec } from '../engines/engine-adapter.ts';
import { kubernetesEngineSchema } from '../engines/kubernetes/configuration.ts';
import { KubernetesEngine } from '../engines/kubernetes/kubernetes-engine.ts';
import { KubernetesTaskLauncher } from '../jobs/kubernetes/task-launcher.ts';
import { ATTEMPT, configurationOf, orderOf } from '../jobs/kubernetes/task-orders.builders.ts';
import { KubernetesApi } from './api.ts';
import { nodeReadingSchema } from './configuration.ts';
import { groupOf, KINDS } from './kinds.ts';
import { KubernetesNodes } from './nodes.ts';

const FOLDER = join(import.meta.dirname, '../../../../deploy/kubernetes');
const read = (name: string): AnyObject[] =>
  parseAllDocuments(readFileSync(join(FOLDER, name), 'utf8')).map((document) => document.toJS());
const permissions = read('permissions.yaml');
const objects = [...permissions, ...read('agent.yaml')];
const rulesOf = (kind: string): Rule[] => permissions.find((each) => each.kind === kind).rules;
const rules = [...rulesOf('Role'), ...rulesOf('ClusterRole')];
const granted = (of: readonly Rule[]) =>
  of
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.flatMap((each) => verbs.map((verb) => `${verb} ${group}/${each}`))),
    )
    .sort();
const log = pino({ level: 'silent' });

describe('the deployment of the agent in Kubernetes', () => {
  it.each(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]))(
    'R21: %s is what the published schemas take',
    (_name, object) => {
      expect(schemaProblems(object)).toEqual([]);
    },
  );

  it('grants what the kinds that the agent uses need, and no more', () => {
    const needed = (isNamespaced: boolean) =>
      Object.values(KINDS)
        .filter((kind) => kind.isNamespaced === isNamespaced)
        .flatMap((kind) => kind.verbs.map((verb) => `${verb} ${groupOf(kind)}/${kind.plural}`))
        .sort();
    expect(granted(rulesOf('Role'))).toEqual(needed(true));
    expect(granted(rulesOf('ClusterRole'))).toEqual(needed(false));
  });

  it('binds it to the agent alone, in its own namespace', () => {
    const bindings = permissions.filter(({ kind }) => kind.endsWith('Binding'));
    const subject = { kind: 'ServiceAccount', name: 'atoll-agent', namespace: 'atoll' };
    expect(bindings.map(({ subjects }) => subjects)).toEqual([[subject], [subject]]);
    expect(JSON.stringify(rules)).not.toContain('*');
  });

  it('configures the agent with keys that it knows', () => {
    const text: string = objects.find(({ kind }) => kind === 'ConfigMap').data['agent.yaml'];
    expect(Object.keys(parse(text))).toContain('stateDirectory');
    const readFile = () => ({ text, mode: 0o600 });
    const configuration = loadConfiguration(agentConfiguration, { file: 'agent.yaml', argv: [], env: {}, readFile });
    expect(configuration.inventory.kubernetes).toMatchObject({ namespace: 'atoll', tolerations: [] });
    expect(configuration.jobs.kubernetes).toMatchObject({ namespace: 'atoll', scheduler: 'auto' });
    expect(configuration.engines.vllm).toMatchObject({ kind: 'kubernetes', port: 8_000 });
  });

  it('is enough for all that the agent does, and all of it is used', async () => {
    const server = await new KubernetesApiFixture().start();
    server.rules = rules;
    const api = (namespace: string) =>
      new KubernetesApi({ connection: server.connection(), namespace, agent: 'UAGENT', retryMs: 1 });
    await useEngine(server, api('atoll'));
    await useLauncher(server, api('atoll'), 'plain');
    await useLauncher(server, api('atoll'), 'volcano');
    await useNodes(server, api('atoll'));
    await server.stop();
    expect([...server.used].sort()).toEqual(granted(rules));
  });
});

async function useEngine(server: KubernetesApiFixture, api: KubernetesApi): Promise<void> {
  const configuration = kubernetesEngineSchema.parse({ kind: 'kubernetes', namespace: 'atoll', image: 'vllm:1' });
  const engine = new KubernetesEngine({ name: 'vllm', configuration, api, pollMs: 5, log });
  const spec: EngineSpec = {
    replicaId: 'r',
    deploymentId: 'd',
    versionDigest: 'v',
    servedModel: 'chat',
    modelPath: '/m/v',
    maxConcurrent: 1,
    maxQueue: 1,
  };
  const instance = await engine.start(spec, 1);
  await engine.noteProven(instance);
  const [service] = server.list('services');
  const { uid: _uid, ...metadata } = service.metadata;
  server.put({ ...service, metadata: { ...metadata, name: 'stray', ownerReferences: [] } });
  await engine.list();
  await until(() => server.watching === 2, 'both watches flow');
  await crash(server, instance.instanceId);
  await until(async () => (await engine.probe(instance)).state === 'gone', 'it is told why');
  // Somebody else wrote into a Service of ours.
  const taken = server.put({ ...service, spec: { ...service.spec, sessionAffinity: 'ClientIP' } }, 'kubectl');
  await api.apply(KINDS.service, { ...service, spec: { ...taken.spec, sessionAffinity: 'None' } } as never);
  await engine.stop(instance);
  await engine.close();
}

async function crash(server: KubernetesApiFixture, instanceId: string): Promise<void> {
  const { template } = server.get('deployments', `atoll-${instanceId}`).spec;
  const state = { waiting: { reason: 'CrashLoopBackOff' } };
  const status = { phase: 'Running', containerStatuses: [{ state, lastState: { terminated: { exitCode: 1 } } }] };
  const metadata = { name: 'p', namespace: 'atoll', labels: template.metadata.labels };
  server.put({ apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec, status });
}

async function useLauncher(server: KubernetesApiFixture, api: KubernetesApi, scheduler: string): Promise<void> {
  const configuration = configurationOf({ namespace: 'atoll', scheduler });
  const launcher = new KubernetesTaskLauncher({ configuration, api, pollMs: 5, log });
  await launcher.start(orderOf());
  await launcher.list();
  await launcher.look(ATTEMPT, 0);
  await launcher.stop(ATTEMPT, 1);
  expect(server.list('jobs')).toEqual([]);
  await launcher.close();
}

async function useNodes(server: KubernetesApiFixture, api: KubernetesApi): Promise<void> {
  const memory = { read: () => Promise.resolve(null), write: () => Promise.resolve() };
  const reading = nodeReadingSchema.parse({});
  const source = new KubernetesNodes({ api, reading, memory, onChange: () => undefined, log });
  await source.open();
  await until(() => server.watching === 2, 'both watches flow');
  await source.stop();
}
