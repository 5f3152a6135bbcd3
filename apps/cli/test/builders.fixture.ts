import type {
  AgreementDto,
  AliasDto,
  ApiKeyDto,
  ArtifactDto,
  AttemptDto,
  ClusterDto,
  DeploymentDto,
  JobDto,
  JobExplainDto,
  JobPlanDto,
  ModelDto,
  QueueDetailDto,
  RolloutDto,
  SyncClusterDto,
  VersionDto,
  VersionSyncDto,
} from '#contracts';
import {
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_MODEL_POLICY,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_ROUTING_POLICY,
  DEFAULT_SYNC_POLICIES,
} from '#domain';

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
    drain: null,
    ahead: null,
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
    spread: null,
    disconnect: DEFAULT_DISCONNECT_POLICY,
    engine: null,
    routing: DEFAULT_ROUTING_POLICY,
    localScaling: null,
    nodes: { required: {}, preferred: {} },
    adapters: [],
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

const CPU: JobDto['specification']['claim'] = {
  deviceType: 'cpu',
  count: 1,
  schedulingPolicy: { topologyScope: 'node' },
};

export function aJob(changes: Partial<JobDto> = {}): JobDto {
  return {
    ...{ id: ID, name: 'count', kind: 'command', queue: 'default', priorityClass: 'normal', priority: 5 },
    ...{ preemption: 'lower-priority', preemptible: true, phase: 'Running', reason: 'all of its tasks run' },
    ...{ phaseSince: '2030-01-01T11:59:00.000Z', conditions: [], place: null, suspended: false },
    ...{ cancelRequested: false, dependsOn: [], attempts: 1, failures: 0, preemptions: 0 },
    tasks: [{ rank: 0, cluster: 'dc-1', devices: [{ node: 'n1', deviceIds: ['cpu0'] }] }],
    ...{ progress: 'step 12 of 60', checkpoint: null, nomination: null, outputDigest: null, published: null },
    usage: { ranSeconds: 0, deviceSeconds: 0, lostDeviceSeconds: 0 },
    specification: {
      tasks: { size: 1, minimum: 1, topology: null, spansClusters: false },
      ...{ claim: CPU, selector: {}, launcher: 'plain', command: ['node', 'count.mjs'], environment: {}, mounts: [] },
      checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
      graceSeconds: 60,
      retry: { limit: 3, backoffSeconds: 10, exitCodes: null },
      ...{ startDeadlineSeconds: null, runDeadlineSeconds: null, ttlSeconds: 604_800 },
      output: { required: false, publish: null },
      ...{ expectedSeconds: null, minimumRunSeconds: 0, preemptionsMax: 5, protectedSeconds: 3_600 },
      lostAfterSeconds: 300,
    },
    ...{ retryAt: null, queuedAt: MADE, startedAt: MADE, endedAt: null, createdAt: MADE, revision: 3 },
    ...changes,
  };
}

export function anAttempt(changes: Partial<AttemptDto> = {}): AttemptDto {
  const { tasks } = aJob();
  return {
    ...{ id: ID, number: 1, phase: 'Running', outcome: null, exitCode: null, reason: 'placed on dc-1', stop: null },
    tasks: tasks.map((task) => ({ ...task, phase: 'Running', reason: '', ranSeconds: 5, progress: '' })),
    ...{ resumedFrom: null, lostDeviceSeconds: 0, createdAt: MADE, startedAt: MADE, endedAt: null },
    ...changes,
  };
}

export function aJobPlan(changes: Partial<JobPlanDto> = {}): JobPlanDto {
  return {
    ...{ job: 'count', state: 'nominated', reason: 'waits for 1 to make room on dc-1', place: null },
    tasks: [{ rank: 0, cluster: 'dc-1', devices: [{ node: 'n1', deviceIds: ['cpu0', 'cpu1'] }] }],
    startsBy: '2030-01-01T12:01:00.000Z',
    victims: [{ job: 'low', priority: 2, lostDeviceSeconds: 12.34 }],
    changes: [],
    candidates: [{ cluster: 'dc-1', score: 0.5, scores: { pack: 0.5 }, rejectedBy: null, rejectedBecause: null }],
    ...changes,
  };
}

export function aJobExplanation(changes: Partial<JobExplainDto> = {}): JobExplainDto {
  return {
    ...{
      job: 'count',
      phase: 'Queued',
      sentence: 'count is Queued (place 2 in its queue): 0/1 clusters fit.',
      place: 2,
    },
    ...{ startsBy: null, victims: [], changes: ['wait for low to end'], candidates: aJobPlan().candidates },
    preemptedBy: [
      {
        job: 'high',
        reason: 'preempted by high (priority 8 over 5)',
        lostDeviceSeconds: 0.2,
        at: '2030-01-01T11:59:00.000Z',
      },
    ],
    decisions: [
      {
        ...{ outcome: '0/1 clusters fit', decidedAt: MADE, place: 2, startsBy: null },
        ...{ victims: [], changes: [], candidates: [] },
      },
    ],
    attempts: [anAttempt({ phase: 'Ended', outcome: 'preempted' })],
    ...changes,
  };
}

export function aQueue(changes: Partial<QueueDetailDto> = {}): QueueDetailDto {
  return {
    ...{ id: ID, name: 'research', parent: null, weight: 2, quota: { 'nvidia.com/gpu': 8 } },
    ...{ borrowingLimit: null, lendingLimit: { 'nvidia.com/gpu': 2 }, order: 'class-shortest', paused: false },
    ...{ usage: { 'nvidia.com/gpu': 10 }, borrowed: { 'nvidia.com/gpu': 2 }, share: 0.125, length: 3, running: 2 },
    ...{ createdAt: MADE, revision: 1 },
    pending: [
      {
        ...{ job: 'count', priority: 5, phase: 'Queued', place: 1, reason: '0/1 clusters fit' },
        queuedAt: '2030-01-01T11:58:00.000Z',
      },
    ],
    ...changes,
  };
}
