// The agent's parts and who wakes whom. Nothing is started here; `agent.ts` starts and stops them in order.
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { desiredStateSchema, gatewaySchema, type ReportMessage } from '#contracts';
import { StateDocument } from '#files';
import { storedLeasesSchema } from '#inference';
import type { AgentConfiguration } from './configuration.ts';
import { ControlLink } from './control-link.ts';
import { DirectListener } from './data-plane/direct-listener.ts';
import { InferenceServer } from './data-plane/inference-server.ts';
import { KnownGateways } from './data-plane/known-gateways.ts';
import { LinkKeeper } from './data-plane/link-keeper.ts';
import { ReplicaRouter } from './data-plane/replica-router.ts';
import { DesiredKeeper, verifyingKeySchema } from './desired/desired-keeper.ts';
import { assembleInventory, knownNodesSchema } from './devices/assembly.ts';
import type { NodeSource } from './devices/node-source.ts';
import type { EngineAdapter } from './engines/engine-adapter.ts';
import { readReplicaLog } from './engines/replica-log.ts';
import { ReplicaSupervisor } from './engines/replica-supervisor.ts';
import { type AgentFencedError, ClusterRemovedError, messageOf } from './errors.ts';
import { Outbox } from './events/outbox.ts';
import { Heartbeat } from './heartbeat/heartbeat.ts';
import { Pulse } from './heartbeat/pulse.ts';
import { RivalGuard } from './heartbeat/rival-guard.ts';
import { assembleJobs, type JobParts, type JobPartsOptions } from './jobs/assembly.ts';
import { CredentialKeeper } from './joining/credentials.ts';
import type { AgentMetrics } from './metrics.ts';
import { findHeldFile, NeighbourServer } from './neighbours/neighbour-server.ts';
import { assembleOffline } from './offline/assembly.ts';
import { bundleMarksSchema, storedBundleSchema } from './offline/bundle-keeper.ts';
import type { OfflineClock } from './offline/offline-clock.ts';
import type { OfflineServing } from './offline/offline-serving.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { previousAfter, replicaReports, versionReports } from './reports/report-content.ts';
import { Reporter } from './reports/reporter.ts';
import { extraReplicasSchema, LocalScaler } from './scaling/local-scaler.ts';
import { type AgentIdentity } from './state/identity.ts';
import { assembleSync, type SyncParts } from './sync/assembly.ts';
import { measuresSchema } from './sync/measures.ts';
import { VersionFolder } from './sync/version-folder.ts';

export const AGENT_VERSION = '0.1.0';

export interface AgentOptions {
  readonly configuration: AgentConfiguration;
  /** `agent`: its public key. */
  readonly engine: (stateFolder: string, agent: string) => EngineAdapter;
  /** Of this process; commands of jobs get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** The centre ended this cluster's membership: stop, and exit with code 3. */
  readonly onRemoved: (error: ClusterRemovedError) => void;
  /** A newer agent with the same identity serves the cluster: stop, and exit with code 4. Default: this one goes on. */
  readonly onFenced?: (error: AgentFencedError) => void;
  /** Default: the compiled heartbeat worker. */
  readonly heartbeatUrl?: URL;
  /** By which offline permissions and leases are counted. Default: the machine's. */
  readonly clock?: OfflineClock;
}

const retentionSchema = z.object({ previous: z.record(z.string(), z.string()) });
const gatewaysSchema = z.array(gatewaySchema).max(1_000);

export interface AssemblyContext {
  readonly options: AgentOptions;
  readonly bootId: string;
  readonly stateFolder: string;
  readonly identity: AgentIdentity;
  readonly cluster: CredentialKeeper;
  readonly machine: Machine;
  /** A newer agent with this identity lives. */
  readonly onRival: (rivalBootId: string) => void;
}

/** Makes the parts and says who wakes whom; starts nothing. */
export function assembleParts(context: AssemblyContext): Parts {
  const { options, bootId, stateFolder, identity, cluster, machine } = context;
  const { configuration, engine, environment, log, metrics } = options;
  const {
    dataPlane,
    neighbours: neighboursConfiguration,
    links: linksConfiguration,
    sync: syncConfiguration,
    shutdown,
    engine: engineConfiguration,
  } = configuration;
  const { contextSize, maxConcurrent, maxQueue, startTimeoutSeconds } = engineConfiguration;
  const { clusterId } = cluster.membership;
  const trust = () => ({
    identity: { jwt: cluster.membership.jwt, seed: identity.seed },
    trustedAccount: cluster.membership.account,
  });
  let previous: Readonly<Record<string, string>> = {};
  const retention = documentOf(context, 'retention', retentionSchema);
  const gateways = documentOf(context, 'gateways', gatewaysSchema);
  const warn = (what: string) => (cause: unknown) => log.warn({ reason: messageOf(cause) }, what);
  const knownGateways = new KnownGateways((known) => void gateways.write(known).catch(warn('gateways not stored')));

  const changed = () => {
    reconciler.wake();
    reporter.changed();
  };
  const heard = (gateway: z.infer<typeof gatewaySchema>) => {
    links.heard(gateway);
    knownGateways.heard(gateway);
  };
  const link = new ControlLink({
    membership: () => cluster.membership,
    seed: identity.seed,
    log,
    onConnected: () => {
      links.hearing(true);
      sync.reconnected();
      reporter.flush();
      // What proves the bundle comes with the document.
      void desired.fetch().then(() => offline?.connected());
      void outbox.send();
      void link.fetchGateways().then((found) => found.forEach(heard));
    },
    onDisconnected: () => links.hearing(false),
    onUnauthorized: () => cluster.renewSoon(),
    onHint: (hint) => {
      desired.hinted(hint);
      rivals.heard(hint);
    },
    onAcked: (ids) => void outbox.acknowledged(ids).catch(warn('acknowledged events not removed')),
    onGateway: heard,
    onTaskLogs: (request) => tasks.readLog(request),
    onReplicaLogs: (request) =>
      readReplicaLog(join(stateFolder, 'logs'), request, replicas.find(request.replicaId) !== undefined),
  });
  const rivals = new RivalGuard({ bootId, onFenced: context.onRival, log });
  const outbox = new Outbox({
    folder: join(stateFolder, 'outbox'),
    publish: (event) => link.publishEvent(event),
    log,
    metrics,
  });
  const folder = new VersionFolder(stateFolder);
  const desired: DesiredKeeper = new DesiredKeeper({
    clusterId,
    document: documentOf(context, 'desired', desiredStateSchema),
    request: (have) => link.fetchDesired(have),
    apply: (state, before) => {
      const next = previousAfter(previous, before, state);
      if (next !== previous) retention.write({ previous: next }).catch(warn('retention not stored'));
      previous = next;
      sync.wake();
      changed();
      // What is placed here anew brings keys and budgets with it.
      if (link.isConnected) void offline?.connected();
    },
    keyDocument: documentOf(context, 'verifying-key', verifyingKeySchema),
    onVerification: (asked) => verification.told(asked),
    onContact: (agoMs) => {
      contact.answered(agoMs);
      offline?.bundle.contacted();
    },
    log,
    metrics,
  });
  const { sync, signatures, verification }: SyncParts = assembleSync({
    configuration: syncConfiguration,
    folder,
    measuresDocument: documentOf(context, 'sync-measures', measuresSchema),
    link,
    desired,
    outbox,
    stopVersion: (digest, reason) => {
      replicas.stopVersion(digest, reason);
      tasks.stopVersion(digest, reason);
    },
    onChange: changed,
    onProgress: () => reporter.changed(),
    log,
    metrics,
  });
  const trustedFilesOf = (digest: string) => (verification.distrusted.has(digest) ? undefined : sync.filesOf(digest));
  const neighbours =
    neighboursConfiguration.listen &&
    new NeighbourServer({
      ...neighboursConfiguration.listen,
      advertise: neighboursConfiguration.advertise,
      clusterId,
      verifyingKey: () => desired.verifyingKey,
      onForged: () => desired.keyDoubted(),
      find: (versions, digest) => findHeldFile(versions, digest, trustedFilesOf, (version) => folder.pathOf(version)),
      onDamaged: (digest) => void verification.verifyNow(digest).catch(() => undefined),
      log,
      metrics,
    });
  const engines = engine(stateFolder, identity.publicKey);
  const replicas = new ReplicaSupervisor({
    engine: engines,
    startTimeoutMs: startTimeoutSeconds * 1000,
    drainMs: shutdown.drainSeconds * 1000,
    settings: { contextSize, maxConcurrent, maxQueue },
    versionPath: (digest) => folder.pathOf(digest),
    onChange: changed,
    onFailed: ({ replicaId, versionDigest }, reason) => {
      const event = { kind: 'replica-failed', replicaId, versionDigest, reason: reason.slice(0, 2_000) } as const;
      outbox.add(event).catch(warn('event not stored'));
    },
    log,
    metrics,
  });
  const inventory = assembleInventory({
    configuration: configuration.inventory,
    agent: identity.publicKey,
    nodesDocument: documentOf(context, 'nodes', knownNodesSchema),
    environment,
    replicas,
    tasks: () => tasks,
    outbox,
    onChange: changed,
    log,
  });
  const { contact, tasks, closePods }: JobParts = assembleJobs({
    configuration,
    agent: identity.publicKey,
    stateFolder,
    environment,
    ...machine,
    nodes: () => inventory.nodes,
    replicas: () => replicas.local(),
    versionPath: (digest) => folder.pathOf(digest),
    desired,
    outbox,
    onChange: changed,
    onProgress: () => reporter.changed(),
    log,
    metrics,
  });
  const scaler: LocalScaler = new LocalScaler({
    document: documentOf(context, 'extra-replicas', extraReplicasSchema),
    settings: configuration.localScaling,
    desired: () => desired.state,
    replicas: () => replicas.all(),
    tasks,
    waits: () => reconciler.waits,
    nodes: () => inventory.nodes,
    engines,
    onChange: changed,
    log,
  });
  const reconciler: Reconciler = new Reconciler({
    desired: () => scaler.withExtras(desired.state),
    previous: () => previous,
    sync,
    folder,
    replicas,
    tasks,
    engines,
    nodes: () => inventory.nodes,
    refusals: (versions) => signatures.refusals(versions),
    distrusted: () => verification.distrusted,
    log,
  });
  const content = (): Omit<ReportMessage, 'bootId' | 'sequence'> => {
    const versions = desired.state?.versions ?? [];
    const refusals = signatures.refusals(versions);
    const running = scaler.mark(replicas.reports());
    const here = replicaReports(desired.state, running, sync.heldDigests, refusals, reconciler.waits);
    return {
      clusterId,
      ...desired.position,
      agentVersion: AGENT_VERSION,
      endpoint: dataPlane.advertise,
      blobEndpoint: neighbours?.endpoint,
      nodes: [...inventory.nodes] as ReportMessage['nodes'],
      replicas: here as ReportMessage['replicas'],
      measures: sync.measures,
      versions: versionReports(sync.report(versions), refusals),
      tasks: tasks.reports(desired.state?.tasks ?? []) as ReportMessage['tasks'],
    };
  };
  const reporter = new Reporter({
    bootId,
    content,
    publish: (report) => link.publishReport(report),
    log,
    metrics,
  });
  const router = new ReplicaRouter({
    replicas,
    desired: () => scaler.withExtras(desired.state),
    nodes: () => inventory.nodes,
    onFirstToken: ({ deploymentId }, ms) => scaler.firstToken(deploymentId, ms),
  });
  const inference: InferenceServer = new InferenceServer({
    router,
    bodyBytesMax: dataPlane.bodyBytesMax,
    firstByteTimeoutMs: dataPlane.firstByteTimeoutSeconds * 1000,
    idleTimeoutMs: dataPlane.idleTimeoutSeconds * 1000,
    metrics,
    onRequest: (request) => links.requestBegan(request),
    isSurplus: (request) => links.isSurplus(request),
  });
  const offline = assembleOffline({
    configuration,
    clusterId,
    clusterName: cluster.membership.clusterName,
    bundleDocument: documentOf(context, 'offline-bundle', storedBundleSchema),
    marksDocument: documentOf(context, 'offline-marks', bundleMarksSchema),
    leasesDocument: documentOf(context, 'leases', storedLeasesSchema),
    journalFolder: join(stateFolder, 'usage'),
    machineBootId: machine.machineBootId,
    clock: options.clock,
    link,
    desired,
    outbox,
    router,
    log,
    metrics,
  });
  const links = new LinkKeeper({
    idleWanted: linksConfiguration.perGateway,
    socketsMax: Math.max(linksConfiguration.perGateway, linksConfiguration.perGatewayMax),
    trust,
    take: (socket) => inference.take(socket),
    log,
    metrics,
  });
  const direct =
    dataPlane.listen === undefined
      ? undefined
      : new DirectListener({ ...dataPlane.listen, trust, take: (socket) => inference.take(socket), log, metrics });
  const pulse = new Pulse(() => ({ revision: desired.position.revision, ...replicas.load() }));
  const heartbeat = new Heartbeat({
    memory: pulse.memory,
    bootId,
    seed: identity.seed,
    membership: () => cluster.membership,
    log,
    workerUrl: options.heartbeatUrl,
  });
  const openRetention = async () => {
    previous = (await retention.read())?.previous ?? {};
  };
  return {
    cluster,
    link,
    outbox,
    folder,
    desired,
    sync,
    signatures,
    verification,
    neighbours,
    replicas,
    inventory,
    scaler,
    contact,
    tasks,
    closePods,
    reconciler,
    reporter,
    inference,
    offline,
    links,
    direct,
    directPort: undefined,
    pulse,
    heartbeat,
    rivals,
    gateways,
    knownGateways,
    openRetention,
  };
}

/** A state document of the agent; what is damaged is said and counted. */
export function documentOf<Schema extends z.ZodType>(
  { options, stateFolder }: Pick<AssemblyContext, 'options' | 'stateFolder'>,
  name: string,
  schema: Schema,
): StateDocument<Schema> {
  const { log, metrics } = options;
  const onDamaged = (file: string, why: string) => {
    metrics.stateDamaged(name);
    log.error({ file, why }, 'a state file is damaged; using the generation before it');
  };
  return new StateDocument({ folder: join(stateFolder, 'state'), name, schema, generations: 2, onDamaged });
}

/** What is asked of the machine once. */
export type Machine = Pick<JobPartsOptions, 'machineBootId' | 'cgroupParent'>;

export interface Parts extends SyncParts, JobParts {
  readonly cluster: CredentialKeeper;
  readonly link: ControlLink;
  readonly outbox: Outbox;
  readonly folder: VersionFolder;
  readonly desired: DesiredKeeper;
  readonly neighbours: NeighbourServer | undefined;
  readonly replicas: ReplicaSupervisor;
  readonly inventory: NodeSource;
  readonly scaler: LocalScaler;
  readonly reconciler: Reconciler;
  readonly reporter: Reporter;
  readonly inference: InferenceServer;
  /** Undefined: no local endpoint is configured. */
  readonly offline: OfflineServing | undefined;
  readonly links: LinkKeeper;
  readonly direct: DirectListener | undefined;
  directPort: number | undefined;
  readonly pulse: Pulse;
  readonly heartbeat: Heartbeat;
  readonly rivals: RivalGuard;
  readonly gateways: StateDocument<typeof gatewaysSchema>;
  readonly knownGateways: KnownGateways;
  readonly openRetention: () => Promise<void>;
}
