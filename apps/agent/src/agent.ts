// The agent, put together: the parts, their order at start and at stop, and who wakes whom.
//
// Plain composition and not a Nest container: all parts are single, made once in an order that the disk dictates (what is
// known before joining, what after), nothing here is an HTTP route or a message handler with decorators, and an edge
// machine that restarts offline should serve again in milliseconds and with 30 MB less. Nest frames the control plane
// and the gateway, where it carries routes.
//
// Order at start: folder lock → identity → documents → join (only if never joined) → versions and engines that are
// already here, tasks of jobs too → data plane → NATS. Everything before the last step works without any network (R4).
// Order at stop: links and listener → answers in flight → engines (or leave them) → tasks (the same) → last report → NATS → lock.
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { desiredStateSchema, gatewaySchema, type ReportMessage } from '#contracts';
import { ShutdownSequence } from '#telemetry';
import type { AgentConfiguration } from './configuration.ts';
import { ControlLink } from './control-link.ts';
import { DirectListener } from './data-plane/direct-listener.ts';
import { InferenceServer } from './data-plane/inference-server.ts';
import { KnownGateways } from './data-plane/known-gateways.ts';
import { LinkKeeper } from './data-plane/link-keeper.ts';
import { DesiredKeeper, verifyingKeySchema } from './desired/desired-keeper.ts';
import type { EngineAdapter } from './engines/engine-adapter.ts';
import { ReplicaSupervisor } from './engines/replica-supervisor.ts';
import { ClusterRemovedError, messageOf } from './errors.ts';
import { Outbox } from './events/outbox.ts';
import { Heartbeat } from './heartbeat/heartbeat.ts';
import { Pulse } from './heartbeat/pulse.ts';
import { readInventory } from './inventory.ts';
import { assembleJobs, type JobParts, type JobPartsOptions } from './jobs/assembly.ts';
import { findCgroupParent } from './jobs/cgroup.ts';
import { endAllTasks } from './jobs/task-supervisor.ts';
import { ControlPlaneClient } from './joining/control-plane-client.ts';
import { CredentialKeeper, membershipSchema } from './joining/credentials.ts';
import type { AgentMetrics } from './metrics.ts';
import { findHeldFile, NeighbourServer } from './neighbours/neighbour-server.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { previousAfter, replicaReports, versionReports } from './reports/report-content.ts';
import { Reporter } from './reports/reporter.ts';
import { StateDocument } from './state/document.ts';
import { type FolderLock, lockFolder } from './state/folder-lock.ts';
import { type AgentIdentity, loadIdentity } from './state/identity.ts';
import { machineBootId } from './state/processes.ts';
import type { AgentStatus } from './status.ts';
import { assembleSync, type SyncParts } from './sync/assembly.ts';
import { measuresSchema } from './sync/measures.ts';
import { VersionFolder } from './sync/version-folder.ts';

export const AGENT_VERSION = '0.1.0';

export interface AgentOptions {
  readonly configuration: AgentConfiguration;
  readonly engine: (stateFolder: string) => EngineAdapter;
  /** Of this process; commands of jobs get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** The centre ended this cluster's membership: stop, and exit with code 3. */
  readonly onRemoved: (error: ClusterRemovedError) => void;
  /** Default: the compiled heartbeat worker. */
  readonly heartbeatUrl?: URL;
}

/** Bound of a step of the shutdown that has nothing to wait for but the disk and short requests. */
const STEP_MS = 6_000;
/** An engine's own end: SIGTERM, its drain, SIGKILL. */
const ENGINE_END_MS = 20_000;

const retentionSchema = z.object({ previous: z.record(z.string(), z.string()) });
const gatewaysSchema = z.array(gatewaySchema).max(1_000);

export class Agent {
  readonly bootId = uuidv7();
  readonly #options: AgentOptions;
  readonly #stateFolder: string;
  readonly #stopping = new AbortController();
  #lock: FolderLock | undefined;
  #parts: Parts | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#stateFolder = resolve(options.configuration.stateDirectory);
  }

  /** What `/readyz` and logs say; null while the cluster has not joined. */
  status(): AgentStatus {
    const parts = this.#parts;
    if (parts === undefined) return { isReady: false, reason: 'the cluster has not joined yet', details: null };
    const { cluster, replicas, tasks, link, links, desired, outbox, directPort } = parts;
    const isReady = !this.#stopping.signal.aborted;
    const details = {
      clusterId: cluster.membership.clusterId,
      clusterName: cluster.membership.clusterName,
      isConnected: link.isConnected,
      ...desired.position,
      ...replicas.load(),
      engines: replicas.countByPhase(),
      tasks: tasks.countByPhase(),
      links: links.counts(),
      eventsPending: outbox.pending,
      directPort,
    };
    return { isReady, reason: isReady ? '' : 'stopping', details };
  }

  /**
   * Resolves once what is on disk is applied and everything runs; a first join is waited for.
   * @throws StateFolderInUseError, JoinRefusedError, ClusterRemovedError, CredentialError
   */
  async start(): Promise<void> {
    const { configuration, log } = this.#options;

    // 1. The folder is ours, and we are who we were.
    this.#lock = await lockFolder(this.#stateFolder);
    const identity = await loadIdentity(this.#stateFolder);
    const client = new ControlPlaneClient(configuration.controlPlaneUrl, identity, AGENT_VERSION);

    // 2. The cluster that we are.
    const token = configuration.joinToken;
    const cluster = new CredentialKeeper({
      client,
      document: this.#document('credentials', membershipSchema),
      identity,
      joinToken: token === undefined ? undefined : () => token.reveal(),
      log,
      onRenewed: ({ jwt }) => this.#parts?.heartbeat.renewed(jwt),
      onRemoved: this.#options.onRemoved,
    });
    const { clusterId, clusterName } = await cluster
      .open(this.#stopping.signal)
      .catch((cause: unknown) => this.#giveUp(cause));
    this.#stopping.signal.throwIfAborted();
    log.info({ clusterId, clusterName, bootId: this.bootId }, 'cluster known');

    // 3. What is on disk: applied before anybody is asked.
    const { cgroupParent } = configuration.jobs;
    const machine = { machineBootId: await machineBootId(), cgroupParent: await findCgroupParent(cgroupParent) };
    const parts = this.#assemble(identity, cluster, machine);
    await parts.folder.open();
    await parts.sync.open();
    await parts.outbox.open();
    await parts.openRetention();
    await parts.contact.open();
    await parts.tasks.open();
    await parts.desired.open();
    const wanted = parts.desired.state;
    const filesOf = (digest: string) => wanted?.versions.find((version) => version.digest === digest)?.files;
    const refusal = (digest: string) => parts.signatures.refusalOfRunning(digest, wanted?.versions ?? []);
    await parts.replicas.adopt(wanted?.replicas ?? null, filesOf, refusal);
    this.#parts = parts;
    parts.reconciler.start();

    // 4. The ways in.
    if (parts.direct !== undefined) parts.directPort = await parts.direct.start();
    await parts.neighbours?.start();
    parts.links.start();
    for (const gateway of (await parts.gateways.read()) ?? []) parts.links.heard(gateway);

    // 5. The centre.
    parts.heartbeat.start();
    parts.link.open();
    parts.desired.start();
    parts.contact.start();
    parts.verification.start();
    parts.reporter.start();
    this.#renewing = cluster.run(this.#stopping.signal);
  }

  /** Idempotent. `keep` leaves engines and tasks for the next agent to adopt; default: each as it is configured. */
  stop(keep?: boolean): Promise<void> {
    const { engine, jobs } = this.#options.configuration;
    this.#stopped ??= this.#stopInOrder(keep ?? engine.onShutdown === 'keep', keep ?? jobs.onShutdown === 'keep');
    return this.#stopped;
  }

  /** A removed cluster's engines and tasks must not outlive the word of the centre, also those that an earlier agent left. */
  async #giveUp(cause: unknown): Promise<never> {
    if (cause instanceof ClusterRemovedError) {
      const engine = this.#options.engine(this.#stateFolder);
      await Promise.all((await engine.list()).map((instance) => engine.stop(instance)));
      await endAllTasks(join(this.#stateFolder, 'jobs'), await machineBootId());
    }
    throw cause;
  }

  async #stopInOrder(keepEngines: boolean, keepTasks: boolean): Promise<void> {
    const { log, configuration } = this.#options;
    this.#stopping.abort();
    const parts = this.#parts;
    if (parts !== undefined) {
      const drainMs = configuration.shutdown.drainSeconds * 1000;
      const engineMs = drainMs + ENGINE_END_MS;
      await new ShutdownSequence(log)
        .add('direct listener', STEP_MS, () => parts.direct?.stop())
        .add('neighbours', STEP_MS, () => parts.neighbours?.stop())
        .add('verification', STEP_MS, () => parts.verification.stop())
        .add('reconciler', STEP_MS, () => parts.reconciler.stop())
        .add('answers in flight', drainMs + STEP_MS, () => parts.inference.stop(drainMs))
        .add('links', STEP_MS, () => parts.links.stop())
        .add('transfers', STEP_MS, () => parts.sync.stop())
        .add('engines', engineMs, () =>
          keepEngines ? parts.replicas.leaveAll() : parts.replicas.stopAll('the agent stops'),
        )
        .add('tasks', drainMs + STEP_MS, () =>
          keepTasks ? parts.tasks.leaveAll() : parts.tasks.stopAll('the agent of its cluster stops', drainMs),
        )
        .add('last report', STEP_MS, () => parts.reporter.flush())
        .add('reporter', STEP_MS, () => parts.reporter.stop())
        .add('contact', STEP_MS, () => parts.contact.stop())
        .add('desired state', STEP_MS, () => parts.desired.stop())
        .add('outbox', STEP_MS, () => parts.outbox.stop())
        .add('heartbeat', STEP_MS, () => parts.heartbeat.stop())
        .add('NATS', STEP_MS, () => parts.link.close())
        .add('renewal', STEP_MS, () => this.#renewing)
        .run(`engines ${keepEngines ? 'stay' : 'stop'}, tasks ${keepTasks ? 'stay' : 'stop'}`);
      parts.pulse.stop();
    }
    await this.#lock?.release();
  }

  #document<Schema extends z.ZodType>(name: string, schema: Schema): StateDocument<Schema> {
    const { log, metrics } = this.#options;
    const onDamaged = (file: string, why: string) => {
      metrics.stateDamaged(name);
      log.error({ file, why }, 'a state file is damaged; using the generation before it');
    };
    return new StateDocument({ folder: join(this.#stateFolder, 'state'), name, schema, onDamaged });
  }

  /** Makes the parts and says who wakes whom; starts nothing. */
  #assemble(identity: AgentIdentity, cluster: CredentialKeeper, machine: Machine): Parts {
    const { configuration, engine, environment, log, metrics } = this.#options;
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
    const stateFolder = this.#stateFolder;
    const trust = () => ({
      identity: { jwt: cluster.membership.jwt, seed: identity.seed },
      trustedAccount: cluster.membership.account,
    });
    let previous: Readonly<Record<string, string>> = {};
    const retention = this.#document('retention', retentionSchema);
    const gateways = this.#document('gateways', gatewaysSchema);
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
        void desired.fetch();
        void outbox.send();
        void link.fetchGateways().then((found) => found.forEach(heard));
      },
      onDisconnected: () => links.hearing(false),
      onUnauthorized: () => cluster.renewSoon(),
      onHint: (hint) => desired.hinted(hint),
      onAcked: (ids) => void outbox.acknowledged(ids).catch(warn('acknowledged events not removed')),
      onGateway: heard,
      onTaskLogs: (request) => tasks.readLog(request),
    });
    const outbox = new Outbox({
      folder: join(stateFolder, 'outbox'),
      publish: (event) => link.publishEvent(event),
      log,
      metrics,
    });
    const folder = new VersionFolder(stateFolder);
    const desired: DesiredKeeper = new DesiredKeeper({
      clusterId,
      document: this.#document('desired', desiredStateSchema),
      request: (have) => link.fetchDesired(have),
      apply: (state, before) => {
        const next = previousAfter(previous, before, state);
        if (next !== previous) retention.write({ previous: next }).catch(warn('retention not stored'));
        previous = next;
        sync.wake();
        changed();
      },
      keyDocument: this.#document('verifying-key', verifyingKeySchema),
      onVerification: (asked) => verification.told(asked),
      onContact: (agoMs) => contact.answered(agoMs),
      log,
      metrics,
    });
    const { sync, signatures, verification }: SyncParts = assembleSync({
      configuration: syncConfiguration,
      folder,
      measuresDocument: this.#document('sync-measures', measuresSchema),
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
    const replicas = new ReplicaSupervisor({
      engine: engine(stateFolder),
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
    const nodes = readInventory(configuration.inventory.nodes);
    const { contact, tasks }: JobParts = assembleJobs({
      configuration,
      stateFolder,
      environment,
      ...machine,
      nodes,
      versionPath: (digest) => folder.pathOf(digest),
      desired,
      outbox,
      onChange: changed,
      onProgress: () => reporter.changed(),
      log,
      metrics,
    });
    const reconciler = new Reconciler({
      desired: () => desired.state,
      previous: () => previous,
      sync,
      folder,
      replicas,
      tasks,
      refusals: (versions) => signatures.refusals(versions),
      distrusted: () => verification.distrusted,
      log,
    });
    const content = (): Omit<ReportMessage, 'bootId' | 'sequence'> => {
      const versions = desired.state?.versions ?? [];
      const refusals = signatures.refusals(versions);
      const here = replicaReports(desired.state, replicas.reports(), sync.heldDigests, refusals);
      return {
        clusterId,
        ...desired.position,
        agentVersion: AGENT_VERSION,
        endpoint: dataPlane.advertise,
        blobEndpoint: neighbours?.endpoint,
        nodes: [...nodes] as ReportMessage['nodes'],
        replicas: here as ReportMessage['replicas'],
        measures: sync.measures,
        versions: versionReports(sync.report(versions), refusals),
        tasks: tasks.reports(desired.state?.tasks ?? []) as ReportMessage['tasks'],
      };
    };
    const reporter = new Reporter({
      bootId: this.bootId,
      content,
      publish: (report) => link.publishReport(report),
      log,
      metrics,
    });
    const inference: InferenceServer = new InferenceServer({
      find: (replicaId) => replicas.find(replicaId),
      bodyBytesMax: dataPlane.bodyBytesMax,
      firstByteTimeoutMs: dataPlane.firstByteTimeoutSeconds * 1000,
      idleTimeoutMs: dataPlane.idleTimeoutSeconds * 1000,
      metrics,
      onRequest: (request) => links.requestBegan(request),
      isSurplus: (request) => links.isSurplus(request),
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
      bootId: this.bootId,
      seed: identity.seed,
      membership: () => cluster.membership,
      log,
      workerUrl: this.#options.heartbeatUrl,
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
      contact,
      tasks,
      reconciler,
      reporter,
      inference,
      links,
      direct,
      directPort: undefined,
      pulse,
      heartbeat,
      gateways,
      openRetention,
    };
  }
}

/** What is asked of the machine once. */
type Machine = Pick<JobPartsOptions, 'machineBootId' | 'cgroupParent'>;

interface Parts extends SyncParts, JobParts {
  readonly cluster: CredentialKeeper;
  readonly link: ControlLink;
  readonly outbox: Outbox;
  readonly folder: VersionFolder;
  readonly desired: DesiredKeeper;
  readonly neighbours: NeighbourServer | undefined;
  readonly replicas: ReplicaSupervisor;
  readonly reconciler: Reconciler;
  readonly reporter: Reporter;
  readonly inference: InferenceServer;
  readonly links: LinkKeeper;
  readonly direct: DirectListener | undefined;
  directPort: number | undefined;
  readonly pulse: Pulse;
  readonly heartbeat: Heartbeat;
  readonly gateways: StateDocument<typeof gatewaysSchema>;
  readonly openRetention: () => Promise<void>;
}
