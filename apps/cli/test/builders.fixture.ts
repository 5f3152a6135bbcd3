import type {
  AgreementDto,
  AliasDto,
  ApiKeyDto,
  ArtifactDto,
  ClusterDto,
  DeploymentDto,
  ModelDto,
  RolloutDto,
  SyncClusterDto,
  VersionDto,
  VersionSyncDto,
} from '#contracts';
import { DEFAULT_MODEL_POLICY, DEFAULT_ROLLOUT_POLICY, DEFAULT_SYNC_POLICIES } from '#domain';

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
    sync: { ...DEFAULT_SYNC_POLICIES.edge, windows: [] },
    createdAt: MADE,
    revision: 7,
    observed: {
      reportedAt: '2030-01-01T11:59:57.000Z',
      agentVersion: '0.1.0',
      desiredRevision: 4,
      appliedRevision: 4,
      endpoint: null,
      blobEndpoint: null,
      measures: null,
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
    alias: null,
    rolloutPolicy: { ...DEFAULT_ROLLOUT_POLICY, waves: [{ percent: 100, soakSeconds: 0, pauseAfter: false }] },
    rollout: null,
    queue: 'default',
    priorityClass: 'serving',
    priority: 9,
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
    parent: null,
    metadata: {},
    signature: null,
    aliases: [],
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

export function aModel(changes: Partial<ModelDto> = {}): ModelDto {
  return { id: ID, name: 'tiny-llm', policy: DEFAULT_MODEL_POLICY, createdAt: MADE, revision: 1, ...changes };
}

export function anAlias(changes: Partial<AliasDto> = {}): AliasDto {
  const history = [
    { from: 1, to: 2, actor: 'key:pub1', at: '2030-01-01T11:58:00.000Z' },
    { from: null, to: 1, actor: 'key:pub1', at: MADE },
  ];
  return { name: 'stable', version: 2, versionDigest: DIGEST, movedAt: history[0]!.at, history, ...changes };
}

export function anArtifact(changes: Partial<ArtifactDto> = {}): ArtifactDto {
  return {
    id: ID,
    version: 2,
    base: 1,
    profile: 'fast',
    phase: 'Ready',
    bytes: 1_430_000,
    percent: 27.3,
    reason: '',
    wantedAt: MADE,
    readyAt: MADE,
    ...changes,
  };
}

export function aRollout(changes: Partial<RolloutDto> = {}): RolloutDto {
  return {
    id: ID,
    fromVersion: 1,
    toVersion: 2,
    phase: 'Progressing',
    wave: 1,
    waves: 3,
    openClusters: ['edge-shanghai'],
    consistency: 'rolling',
    reason: 'Wave 1 soaks for 20 s more.',
    startedAt: '2030-01-01T11:59:00.000Z',
    endedAt: null,
    ...changes,
  };
}

export function aSyncCluster(changes: Partial<SyncClusterDto> = {}): SyncClusterDto {
  return {
    cluster: 'edge-shanghai',
    kind: 'edge',
    state: 'fetching',
    path: 'direct-diff',
    source: 'registry',
    wireBytes: 1_430_000,
    fullBytes: 5_240_000,
    seconds: 4,
    startsInSeconds: 0,
    finishesInWindow: null,
    reason: 'the direct diff is cheapest',
    progress: {
      path: 'direct-diff',
      source: 'registry',
      wireBytesHave: 700_000,
      wireBytesTotal: 1_430_000,
      bytesPerSecond: 350_000,
      etaSeconds: 2.1,
    },
    ...changes,
  };
}

export function aVersionSync(...clusters: SyncClusterDto[]): VersionSyncDto {
  return { model: 'tiny-llm', version: 2, digest: DIGEST, summary: '1 will finish.', clusters };
}

export function anAgreement(changes: Partial<AgreementDto> = {}): AgreementDto {
  return {
    model: 'tiny-llm',
    newest: 2,
    agrees: true,
    summary: '1 cluster agrees',
    clusters: [
      {
        cluster: 'edge-shanghai',
        kind: 'edge',
        held: [
          { version: 2, digest: DIGEST, phase: 'Held', verifiedAt: '2030-01-01T11:57:00.000Z' },
          { version: 1, digest: 'b'.repeat(64), phase: 'Held', verifiedAt: null },
        ],
        serving: [{ version: 2, digest: DIGEST }],
        wanted: [2],
        drift: '',
        ageSeconds: 3,
      },
    ],
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
