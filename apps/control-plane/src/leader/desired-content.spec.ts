import { describe, expect, it } from '@jest/globals';
import {
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_ROUTING_POLICY,
  type Deployment,
  type DeploymentServing,
  type Model,
  type ModelVersion,
  type Placement,
} from '#domain';
import { desiredContentOf } from './desired-content.ts';

const AT = new Date(0);
const CLAIM = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } } as const;
const FILES = [{ path: 'model.gguf', digest: 'f', sizeBytes: 1 }];

const version = (id: string, digest: string | null = `digest-${id}`) =>
  ({ id, modelId: 'm', number: Number(id.slice(1)), digest, files: FILES, signature: null }) as unknown as ModelVersion;
const versions = new Map(['v1', 'v2'].map((id) => [id, version(id)]));
const models = new Map([['m', { id: 'm', name: 'tiny' } as Model]]);
const served = (serving: Partial<DeploymentServing> = {}) => {
  const whole = { ...DEFAULT_DEPLOYMENT_SERVING, ...serving };
  return new Map([['d', { id: 'd', name: 'chat', servedModel: 'tiny', serving: whole } as Deployment]]);
};
const deployments = served();

function placement(id: string, rest: Partial<Placement> = {}): Placement {
  return {
    id,
    tenantId: 't',
    deploymentId: 'd',
    clusterId: 'c',
    versionId: 'v1',
    claim: CLAIM,
    devices: null,
    phase: 'Assigned',
    epoch: 7,
    reason: '',
    createdAt: AT,
    phaseSince: AT,
    ...rest,
  };
}

const build = (...placements: Placement[]) => desiredContentOf(placements, versions, models, deployments);

describe('the content of a desired document', () => {
  it('names each replica with its epoch and version, and each version once', () => {
    expect(build(placement('p1'), placement('p2'))).toEqual({
      versions: [{ versionId: 'v1', modelName: 'tiny', number: 1, digest: 'digest-v1', files: FILES }],
      replicas: ['p1', 'p2'].map((replicaId) => ({
        replicaId,
        deploymentId: 'd',
        deploymentName: 'chat',
        servedModel: 'tiny',
        versionDigest: 'digest-v1',
        claim: CLAIM,
        epoch: 7,
        draining: false,
      })),
    });
  });

  it.each<[string, Partial<DeploymentServing>, object]>([
    ['its engine', { engine: 'vllm' }, { engine: 'vllm' }],
    [
      'another routing',
      { routing: { ...DEFAULT_ROUTING_POLICY, pick: 'power-of-two' } },
      { routing: { ...DEFAULT_ROUTING_POLICY, pick: 'power-of-two' } },
    ],
    [
      'local scaling',
      { localScaling: { replicasMax: 3, rule: 'target-tracking', targetInflight: 4 } },
      { localScaling: { replicasMax: 3, rule: 'target-tracking', targetInflight: 4 } },
    ],
    [
      'A12 labels of nodes',
      { nodes: { required: {}, preferred: { disk: 'nvme' } } },
      { nodes: { required: {}, preferred: { disk: 'nvme' } } },
    ],
    [
      'adapters by their digests',
      { adapters: [{ name: 'legal', versionId: 'v2' }] },
      { adapters: [{ name: 'legal', versionDigest: 'digest-v2' }] },
    ],
  ])('R5 names %s only where that is not as ever', (_name, serving, want) => {
    const said = ['engine', 'routing', 'localScaling', 'nodes', 'adapters'];
    const saidOf = (replica: object) =>
      Object.fromEntries(Object.entries(replica).filter(([key]) => said.includes(key)));
    const [plain] = build(placement('p1')).replicas;
    const { replicas, versions: wanted } = desiredContentOf([placement('p1')], versions, models, served(serving));
    expect([saidOf(plain!), saidOf(replicas[0]!)]).toEqual([{}, want]);
    expect(wanted.map(({ versionId }) => versionId)).toEqual('adapters' in serving ? ['v1', 'v2'] : ['v1']);
  });

  it('names what is mirrored besides, once, and shows the signature of a version that has one', () => {
    const signature = { publicKey: 'key', signature: 'proof' };
    const signed = new Map([...versions, ['v2', { ...version('v2'), signature }]]);
    const { versions: wanted } = desiredContentOf([placement('p1')], signed, models, deployments, ['v2', 'v1']);
    expect(wanted.map((each) => [each.versionId, each.signature])).toEqual([
      ['v1', undefined],
      ['v2', signature],
    ]);
  });

  it('is empty for a cluster without placements', () => {
    expect(build()).toEqual({ versions: [], replicas: [] });
  });

  it('does not depend on the order of the rows', () => {
    const rows = [placement('p1'), placement('p2', { versionId: 'v2' }), placement('p3')];
    expect(build(...rows.toReversed())).toEqual(build(...rows));
  });

  it('R7 lets the old one drain, and asks nobody to fetch a version that only drains', () => {
    const { versions: wanted, replicas } = build(
      placement('old', { phase: 'Draining' }),
      placement('new', { versionId: 'v2' }),
    );
    expect([
      wanted.map(({ versionId }) => versionId),
      replicas.map(({ replicaId, draining }) => [replicaId, draining]),
    ]).toEqual([
      ['v2'],
      [
        ['new', false],
        ['old', true],
      ],
    ]);
  });

  it.each([
    { name: 'an unknown version', rest: { versionId: 'v9' }, says: 'version v9, which does not exist' },
    { name: 'an unknown deployment', rest: { deploymentId: 'x' }, says: 'deployment x, which does not exist' },
  ])('refuses $name', ({ rest, says }) => {
    expect(() => build(placement('p', rest))).toThrow(says);
  });

  it('refuses a version that is not published', () => {
    const unpublished = new Map([['v1', version('v1', null)]]);
    expect(() => desiredContentOf([placement('p')], unpublished, models, deployments)).toThrow('not published');
  });
});
