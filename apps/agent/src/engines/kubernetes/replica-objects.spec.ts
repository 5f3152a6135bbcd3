import { describe, expect, it } from '@jest/globals';
import { type AnyObject } from '../../../test/kubernetes-api.fixture.ts';
import { schemaProblems } from '../../../test/kubernetes-schemas.fixture.ts';
import type { EngineSpec } from '../engine-adapter.ts';
import { kubernetesEngineSchema } from './configuration.ts';
import { addressOf, deploymentOf, podHashOf, type ReplicaIdentity, serviceOf } from './replica-objects.ts';

const DIGEST = 'd'.repeat(64);
const INSTANCE = '0192e4c1-9d1c-7c3e-a5f4-3f1d2b7c9e10';

const configurationOf = (change: object = {}) =>
  kubernetesEngineSchema.parse({
    kind: 'kubernetes',
    namespace: 'models',
    image: 'vllm/vllm-openai:v0.10.0',
    command: ['vllm', 'serve', '{modelPath}', '--port={port}', '--tensor-parallel-size={deviceCount}'],
    modelVolume: { persistentVolumeClaim: 'atoll-state', path: '/var/lib/atoll' },
    ...change,
  });
const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
  replicaId: '0192e4c1-0000-7000-8000-000000000001',
  deploymentId: '0192e4c1-0000-7000-8000-000000000002',
  versionDigest: DIGEST,
  servedModel: 'chat',
  modelPath: `/var/lib/atoll/models/versions/${DIGEST}`,
  maxConcurrent: 4,
  maxQueue: 64,
  engine: 'vllm',
  claim: { deviceType: 'nvidia.com/gpu', count: 2, schedulingPolicy: { topologyScope: 'node' } },
  ...change,
});
const identity: ReplicaIdentity = {
  instanceId: INSTANCE,
  generation: 1,
  specHash: 'h',
  agent: `U${'A'.repeat(55)}`,
  engine: 'vllm',
};
const deployment = (spec: Partial<EngineSpec> = {}, configuration: object = {}): AnyObject =>
  deploymentOf(specOf(spec), identity, configurationOf(configuration));
const podOf = (object: AnyObject): AnyObject => object.spec.template.spec;

const everything = {
  environment: { HF_HOME: '/tmp', SERVED: '{servedModel}' },
  memoryBytes: 34_359_738_368,
  tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
  priorityClassName: 'serving',
  runtimeClassName: 'nvidia',
  imagePullSecrets: ['mirror'],
};
const placed: Partial<EngineSpec> = {
  nodes: { required: { 'node.kubernetes.io/pool': 'a' }, preferred: { disk: 'nvme' } },
  devices: [{ node: 'gpu-1', deviceIds: ['gpu-0', 'gpu-1'] }],
};

describe('a replica in Kubernetes', () => {
  it.each<{ name: string; spec?: Partial<EngineSpec>; configuration?: object }>([
    { name: 'the plain one' },
    { name: 'everything set', spec: placed, configuration: everything },
    { name: 'without files of ours', configuration: { modelVolume: undefined } },
    { name: 'without a claim', spec: { claim: undefined } },
    { name: 'no shared memory', configuration: { sharedMemoryBytes: 0 } },
    {
      name: 'on CPUs with memory',
      spec: {
        claim: {
          deviceType: 'cpu',
          count: 4,
          memoryBytesPerDevice: 1_073_741_824,
          schedulingPolicy: { topologyScope: 'node' },
        },
      },
    },
  ])('R21: what is sent is what the published schemas take: $name', ({ spec, configuration }) => {
    const made = deployment(spec, configuration);
    const owner = { name: made.metadata.name, uid: INSTANCE };
    expect(schemaProblems(made)).toEqual([]);
    expect(schemaProblems(serviceOf(identity, made.metadata.labels, owner, configurationOf()))).toEqual([]);
  });

  it.each<{ name: string; spoil: (object: AnyObject) => void; want: string }>([
    {
      name: 'an unknown field',
      spoil: (object) => (podOf(object).containers[0].imagePolicy = 'x'),
      want: 'imagePolicy',
    },
    { name: 'a field that is missing', spoil: (object) => delete object.spec.selector, want: 'selector' },
    { name: 'another type', spoil: (object) => (object.spec.replicas = '1'), want: '.spec.replicas: must be' },
  ])('and the schemas refuse $name', ({ spoil, want }) => {
    const made = deployment();
    spoil(made);
    expect(schemaProblems(made).join()).toContain(want);
  });

  it('claims its devices by the name of the device plugin, as request and limit', () => {
    const claim = {
      deviceType: 'huawei.com/ascend-npu' as const,
      count: 8,
      schedulingPolicy: { topologyScope: 'node' as const },
    };
    const { resources } = podOf(deployment({ claim })).containers[0];
    const other = podOf(deployment({ claim }, { resourceNames: { 'huawei.com/ascend-npu': 'huawei.com/Ascend310P' } }));
    expect(resources).toEqual({
      requests: { 'huawei.com/Ascend910': '8' },
      limits: { 'huawei.com/Ascend910': '8' },
    });
    expect(other.containers[0].resources.limits).toEqual({ 'huawei.com/Ascend310P': '8' });
  });

  it('T09: memory of a device is asked of the node’s label', () => {
    const claim = { ...specOf().claim!, memoryBytesPerDevice: 80 * 1_073_741_824 };
    const [term] = podOf(deployment({ claim })).affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
      .nodeSelectorTerms;
    expect(term.matchExpressions).toEqual([{ key: 'nvidia.com/gpu.memory', operator: 'Gt', values: ['81919'] }]);
  });

  it('A12: required labels filter nodes, preferred ones score; what the centre bound is the node', () => {
    expect(podOf(deployment(placed)).affinity.nodeAffinity).toEqual({
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: 'node.kubernetes.io/pool', operator: 'In', values: ['a'] },
              { key: 'kubernetes.io/hostname', operator: 'In', values: ['gpu-1'] },
            ],
          },
        ],
      },
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 50, preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['nvme'] }] } },
      ],
    });
  });

  it.each([
    { name: 'a folder', file: '', wantPath: '/models' },
    {
      name: 'a file of it',
      file: '/gguf/model-00001-of-00002.gguf',
      wantPath: '/models/gguf/model-00001-of-00002.gguf',
    },
  ])('an engine sees the folder of its version and nothing beside it: $name', ({ file, wantPath }) => {
    const { modelPath } = specOf();
    const [container] = podOf(deployment({ modelPath: `${modelPath}${file}` })).containers;
    expect(container.command[2]).toBe(wantPath);
    expect(container.volumeMounts.at(-1)).toEqual({
      name: 'model',
      mountPath: '/models',
      subPath: `models/versions/${DIGEST}`,
      readOnly: true,
    });
  });

  it('a model that is not on the volume is refused with both places', () => {
    expect(() => deployment({ modelPath: `/elsewhere/${DIGEST}` })).toThrow(
      `The model is at /elsewhere/${DIGEST}, which is not on the volume that engines see (/var/lib/atoll).`,
    );
  });

  it('runs under the restricted pod security standard, without credentials of the cluster', () => {
    const pod = podOf(deployment());
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(pod.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('fills in the command; what it does not know stays', () => {
    const command = ['serve', '{modelPath}', '{servedModel}:{port}', '{deviceCount}', '{contextSize}', '{other}'];
    const [container] = podOf(deployment({}, { command })).containers;
    expect(container.command).toEqual(['serve', '/models', 'chat:8000', '2', '0', '{other}']);
  });

  it('R5: the hash of its pod changes with what it would have to be restarted for, and with nothing else', () => {
    const hash = (spec: Partial<EngineSpec> = {}, configuration: object = {}) =>
      podHashOf(specOf(spec), configurationOf(configuration));
    expect(hash({ replicaId: 'another' })).toBe(hash());
    expect(hash({}, { image: 'vllm/vllm-openai:v0.11.0' })).not.toBe(hash());
    expect(hash({ nodes: { required: { pool: 'b' }, preferred: {} } })).not.toBe(hash());
  });

  it.each([
    ['http://{service}.{namespace}.svc:{port}', `http://atoll-${INSTANCE}.models.svc:8000`],
    ['http://{podIp}:{port}/', 'http://10.0.0.7:8000'],
  ])('is found at %s', (address, want) => {
    expect(addressOf(INSTANCE, '10.0.0.7', configurationOf({ address }))).toBe(want);
  });
});
