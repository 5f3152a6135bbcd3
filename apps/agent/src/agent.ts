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
import { v7 as uuidv7 } from 'uuid';
import { machineBootId, ShutdownSequence } from '#telemetry';
import { AGENT_VERSION, type AgentOptions, assembleParts, documentOf, type Parts } from './assembly.ts';
import { AgentFencedError, ClusterRemovedError, messageOf } from './errors.ts';
import { endEveryTask } from './jobs/assembly.ts';
import { findCgroupParent } from './jobs/cgroup.ts';
import { ControlPlaneClient } from './joining/control-plane-client.ts';
import { CredentialKeeper, membershipSchema } from './joining/credentials.ts';
import { noteFence, refuseFenced } from './state/fence.ts';
import { type FolderLock, lockFolder } from './state/folder-lock.ts';
import { loadIdentity } from './state/identity.ts';
import type { AgentStatus } from './status.ts';

/** Bound of a step of the shutdown that has nothing to wait for but the disk and short requests. */
const STEP_MS = 6_000;
/** An engine's own end: SIGTERM, its drain, SIGKILL. */
const ENGINE_END_MS = 20_000;

export class Agent {
  readonly bootId = uuidv7();
  readonly #options: AgentOptions;
  readonly #stateFolder: string;
  readonly #stopping = new AbortController();
  #lock: FolderLock | undefined;
  #parts: Parts | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;
  #isFenced = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#stateFolder = resolve(options.configuration.stateDirectory);
  }

  /** What `/readyz` and logs say; null while the cluster has not joined. */
  status(): AgentStatus {
    const parts = this.#parts;
    if (parts === undefined) return { isReady: false, reason: 'the cluster has not joined yet', details: null };
    const { cluster, replicas, tasks, link, links, desired, outbox, directPort, offline, rivals } = parts;
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
      offline: offline?.status() ?? null,
      rivals: rivals.rivals,
    };
    return { isReady, reason: isReady ? '' : 'stopping', details };
  }

  /**
   * Resolves once what is on disk is applied and everything runs; a first join is waited for.
   * @throws StateFolderInUseError, AgentFencedError, JoinRefusedError, ClusterRemovedError, CredentialError
   */
  async start(): Promise<void> {
    const { configuration, log } = this.#options;

    // 1. The folder is ours, and we are who we were.
    this.#lock = await lockFolder(this.#stateFolder);
    await refuseFenced(this.#stateFolder);
    const identity = await loadIdentity(this.#stateFolder);
    const client = new ControlPlaneClient(configuration.controlPlaneUrl, identity, AGENT_VERSION);

    // 2. The cluster that we are.
    const token = configuration.joinToken;
    const cluster = new CredentialKeeper({
      client,
      document: documentOf({ options: this.#options, stateFolder: this.#stateFolder }, 'credentials', membershipSchema),
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
    const parts = assembleParts({
      options: this.#options,
      bootId: this.bootId,
      stateFolder: this.#stateFolder,
      identity,
      cluster,
      machine,
      onRival: (rivalBootId) => void this.#fence(rivalBootId),
    });
    await parts.folder.open();
    await parts.sync.open();
    await parts.outbox.open();
    await parts.openRetention();
    await parts.inventory.open();
    await parts.contact.open();
    await parts.tasks.open();
    await parts.desired.open();
    await parts.scaler.open();
    await parts.offline?.open();
    const wanted = parts.desired.state;
    const filesOf = (digest: string) => wanted?.versions.find((version) => version.digest === digest)?.files;
    const refusal = (digest: string) => parts.signatures.refusalOfRunning(digest, wanted?.versions ?? []);
    await parts.replicas.adopt(parts.scaler.withExtras(wanted)?.replicas ?? null, filesOf, refusal);
    this.#parts = parts;
    parts.reconciler.start();
    parts.scaler.start();

    // 4. The ways in.
    if (parts.direct !== undefined) parts.directPort = await parts.direct.start();
    await parts.neighbours?.start();
    await parts.offline?.startListening();
    parts.links.start();
    for (const gateway of (await parts.gateways.read()) ?? []) {
      parts.knownGateways.remembered(gateway);
      parts.links.heard(gateway);
    }

    // 5. The centre.
    parts.heartbeat.start();
    parts.link.open();
    parts.desired.start();
    parts.offline?.startAsking();
    parts.contact.start();
    parts.verification.start();
    parts.inventory.start();
    parts.reporter.start();
    this.#renewing = cluster.run(this.#stopping.signal);
  }

  /** Idempotent. `keep` leaves engines and tasks for the next agent to adopt; default: each as it is configured. */
  stop(keep?: boolean): Promise<void> {
    const { engine, jobs } = this.#options.configuration;
    // Tasks of a fenced agent end by themselves: nobody notes contact for them any more.
    const keepTasks = this.#isFenced || (keep ?? jobs.onShutdown === 'keep');
    this.#stopped ??= this.#stopInOrder(keep ?? engine.onShutdown === 'keep', keepTasks);
    return this.#stopped;
  }

  /** From here on this agent says nothing more: what it is, the newer one tells. */
  async #fence(rivalBootId: string): Promise<void> {
    const { onFenced, log } = this.#options;
    if (onFenced === undefined) return;
    this.#isFenced = true;
    await Promise.all([this.#parts?.link.close(), this.#parts?.heartbeat.stop()]);
    const error = await noteFence(this.#stateFolder, rivalBootId).catch((cause: unknown) => {
      log.error({ reason: messageOf(cause) }, 'the fence is not stored; a restart would not know of it');
      return new AgentFencedError(`A newer agent with this identity (boot ${rivalBootId}) serves the cluster.`);
    });
    onFenced(error);
  }

  /** A removed cluster's engines and tasks must not outlive the word of the centre, also those that an earlier agent left. */
  async #giveUp(cause: unknown): Promise<never> {
    if (cause instanceof ClusterRemovedError) {
      const { publicKey } = await loadIdentity(this.#stateFolder);
      const engine = this.#options.engine(this.#stateFolder, publicKey);
      await Promise.all((await engine.list()).map((instance) => engine.stop(instance)));
      const jobs = { jobsFolder: join(this.#stateFolder, 'jobs'), machineBootId: await machineBootId() };
      await endEveryTask({ ...this.#options, ...jobs, agent: publicKey });
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
        .add('local endpoint', drainMs + STEP_MS, () => parts.offline?.stopListening(drainMs))
        .add('direct listener', STEP_MS, () => parts.direct?.stop())
        .add('neighbours', STEP_MS, () => parts.neighbours?.stop())
        .add('inventory', STEP_MS, () => parts.inventory.stop())
        .add('verification', STEP_MS, () => parts.verification.stop())
        .add('local scaling', STEP_MS, () => parts.scaler.stop())
        .add('reconciler', STEP_MS, () => parts.reconciler.stop())
        .add('answers in flight', drainMs + STEP_MS, () => parts.inference.stop(drainMs))
        .add('links', STEP_MS, () => parts.links.stop())
        .add('transfers', STEP_MS, () => parts.sync.stop())
        .add('engines', engineMs, () =>
          this.#isFenced
            ? parts.replicas.stopOwn('a newer agent serves the cluster')
            : keepEngines
              ? parts.replicas.leaveAll()
              : parts.replicas.stopAll('the agent stops'),
        )
        .add('tasks', drainMs + STEP_MS, () =>
          keepTasks ? parts.tasks.leaveAll() : parts.tasks.stopAll('the agent of its cluster stops', drainMs),
        )
        .add('pods', STEP_MS, () => parts.closePods())
        .add('last report', STEP_MS, () => parts.reporter.flush())
        .add('reporter', STEP_MS, () => parts.reporter.stop())
        .add('contact', STEP_MS, () => parts.contact.stop())
        .add('offline serving', STEP_MS, () => parts.offline?.stop())
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
}
