import type { ApiKeyDto, ClusterDto, DeploymentDto, VersionDto } from '#contracts';

export const ID = '01900000-0000-7000-8000-000000000001';
export const DIGEST = 'a'.repeat(64);
const MADE = '2030-01-01T11:00:00.000Z';

export function aCluster(changes: Partial<ClusterDto> = {}): ClusterDto {
  return {
    id: ID,
    name: 'edge-shanghai',
    kind: 'edge',
    region: 'cn-east',
    zone: '',
    labels: { site: 'harbour', old: 'yes' },
    phase: 'Ready',
    phaseSince: MADE,
    cordoned: false,
    createdAt: MADE,
    revision: 7,
    observed: {
      reportedAt: '2030-01-01T11:59:57.000Z',
      agentVersion: '0.1.0',
      desiredRevision: 4,
      appliedRevision: 4,
      endpoint: null,
      nodes: [{ name: 'node-1', devices: [{ id: 'cpu-0', deviceType: 'cpu', memoryBytes: 8e9 }] }],
      replicas: [],
      versions: [],
    },
    ...changes,
  };
}

export function aReplica(changes: Partial<DeploymentDto['placements'][number]> = {}) {
  return {
    id: ID,
    cluster: 'edge-shanghai',
    version: 1,
    versionDigest: DIGEST,
    placementPhase: 'Assigned' as const,
    phase: 'Ready' as const,
    reason: '',
    ...changes,
  };
}

export function aDeployment(changes: Partial<DeploymentDto> = {}): DeploymentDto {
  return {
    id: ID,
    name: 'chat',
    model: 'tiny-llm',
    version: 1,
    versionDigest: DIGEST,
    servedModel: 'tiny-llm',
    replicas: 1,
    readyReplicas: 1,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    selector: { kinds: ['edge'] },
    disconnect: { lostAfterSeconds: 300, reconcile: 'prefer-central' },
    deleting: false,
    status: 'All is as wanted.',
    placements: [aReplica()],
    createdAt: MADE,
    revision: 1,
    ...changes,
  };
}

export function aVersion(changes: Partial<VersionDto> = {}): VersionDto {
  return {
    id: ID,
    model: 'tiny-llm',
    number: 1,
    phase: 'Published',
    digest: DIGEST,
    sizeBytes: 5_240_000,
    files: [{ path: 'model.gguf', digest: DIGEST, sizeBytes: 5_240_000, receivedBytes: 5_240_000 }],
    notes: '',
    createdAt: MADE,
    publishedAt: MADE,
    ...changes,
  };
}

export function aKey(changes: Partial<ApiKeyDto> = {}): ApiKeyDto {
  return {
    id: ID,
    name: 'ci',
    publicId: 'pub1',
    role: 'inference',
    models: null,
    expiresAt: null,
    revokedAt: null,
    createdAt: MADE,
    ...changes,
  };
}

export const aPlan = {
  deployment: 'chat',
  outcome: '0/2 clusters fit: 1 lacks nvidia.com/gpu ×1 in one node, 1 is of kind central.',
  assign: [],
  remove: [],
  candidates: [
    { cluster: 'dc-1', score: null, scores: {}, rejectedBy: 'kind', rejectedBecause: 'is of kind central' },
    { cluster: 'edge-shanghai', score: 0.5, scores: { spread: 0.5 }, rejectedBy: null, rejectedBecause: null },
  ],
};
