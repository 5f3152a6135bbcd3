/**
 * A cluster: a machine (disk and engines, which outlive the agent) and an agent process on it. The agent decides with
 * production code – `DesiredKeeper` with its fence, `reconcileCluster`, `Reporter` and what it reports, retry delays –
 * and carries out as the production supervisor and sync do, on simulated engines and transfers.
 */
import type { Logger } from 'pino';
import { ackedSchema, desiredHintSchema, type ReportMessage, SUBJECTS } from '#contracts';
import {
  type AgentAction,
  type DesiredReplica,
  type DesiredState,
  type DesiredVersion,
  type LocalReplica,
  type Node,
  type ReplicaReport,
  reconcileCluster,
  retryDelayMs,
} from '#domain';
import { DesiredKeeper, type DesiredKeeperOptions } from '../../apps/agent/src/desired/desired-keeper.ts';
import type { AgentMetrics } from '../../apps/agent/src/metrics.ts';
import { replicaReports } from '../../apps/agent/src/reports/report-content.ts';
import { Reporter } from '../../apps/agent/src/reports/reporter.ts';
import { Command, type CommandFaults } from './commands.ts';
import { EventOutbox, type StoredEvents } from './event-outbox.ts';
import type { Client, Network } from './network.ts';
import type { Registry } from './registry.ts';
import type { TaskFolder, TaskRun } from './task-run.ts';
import { type TaskRules, Tasks } from './tasks.ts';
import type { SimulatedProcess, World } from './world.ts';

const REFETCH_MS = 30_000;
const REPORT_MS = 9_900;
const COALESCE_MS = 100;
const FORGIVEN_AFTER_MS = 60_000;
/** While the control plane's word matters to tasks, it is asked for so often. */
const CONTACT_MS = 5_000;

export interface Engine {
  readonly processId: number;
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
  readonly readyAtMs: number;
}

export interface Disk {
  current: DesiredState | null;
  previous: DesiredState | null;
  readonly versions: Set<string>;
}

/** What the checks are told, and what faults may do. */
export interface AgentWorld {
  readonly onApplied: (agent: Agent, state: DesiredState, isFromDisk: boolean) => void;
  readonly onStarting: (agent: Agent, replica: DesiredReplica) => void;
  readonly onStopping: (agent: Agent, replicaId: string, reason: string) => void;
  readonly onTaskStarting: (agent: Agent, task: TaskRun) => void;
  readonly onTaskEnding: (agent: Agent, task: TaskRun, how: string) => void;
  /** Share of transfers that fail. */
  readonly transferFailureShare: () => number;
  readonly commandFaults: () => CommandFaults;
  readonly registry: Registry;
}

export type Keeper = Pick<DesiredKeeper, 'state' | 'position' | 'open' | 'hinted' | 'fetch'>;

export interface AgentRules extends TaskRules {
  readonly makeKeeper: (options: DesiredKeeperOptions) => Keeper;
  readonly reconcile: typeof reconcileCluster;
}

export const PRODUCTION_AGENT: AgentRules = {
  makeKeeper: (options) => new DesiredKeeper(options),
  reconcile: reconcileCluster,
};

interface Replica extends LocalReplica {
  phase: LocalReplica['phase'];
  readonly deploymentId: string;
  retryAtMs?: number;
  restarts: number;
  failures: number;
  processId?: number;
}

/** What is there whether or not an agent runs. */
export class Machine {
  readonly disk: Disk = { current: null, previous: null, versions: new Set() };
  readonly engines = new Map<string, Engine>();
  /** By task id. */
  readonly taskFolders = new Map<string, TaskFolder>();
  readonly events: StoredEvents = { pending: new Map(), sent: [] };
  /** True time for which the control plane's last answer counts; noted on disk. */
  contactAtMs = Number.NEGATIVE_INFINITY;
  private processIds = 0;

  constructor(
    readonly clusterId: string,
    readonly clusterName: string,
    readonly nodes: readonly Node[],
  ) {}

  startEngine(of: Omit<Engine, 'processId'>): Engine {
    this.processIds += 1;
    const engine = { ...of, processId: this.processIds };
    this.engines.set(of.replicaId, engine);
    return engine;
  }

  startCommand({ folder }: TaskRun, resumedSeconds: number, world: World, faults: CommandFaults): Command {
    this.processIds += 1;
    return new Command(this.processIds, folder.task, resumedSeconds, world, faults);
  }

  /** Those that run. */
  get commands(): Command[] {
    return [...this.taskFolders.values()].flatMap(({ command }) => (command?.isAlive === true ? [command] : []));
  }

  silentSeconds(nowMs: number): number {
    return Math.max(0, nowMs - this.contactAtMs) / 1_000;
  }
}

export class Agent implements SimulatedProcess {
  state: SimulatedProcess['state'] = 'running';
  readonly name: string;
  readonly keeper: Keeper;
  readonly held = new Set<string>();
  readonly replicas = new Map<string, Replica>();
  readonly tasks: Tasks;
  private readonly outbox: EventOutbox;
  private askedAtMs = 0;
  private readonly fetching = new Map<string, DesiredVersion>();
  private readonly failures = new Map<string, { attempts: number; retryAtMs: number }>();
  private link: Client | undefined;
  private readonly reporter: Reporter;
  private isOpening = true;
  private isReportDue = false;
  private isTurnDue = false;
  private heartbeats = 0;

  constructor(
    readonly bootId: string,
    readonly machine: Machine,
    private readonly world: World,
    private readonly network: Network,
    private readonly around: AgentWorld,
    private readonly rules: AgentRules,
    public skewMs: number,
  ) {
    this.name = `agent of ${machine.clusterName}`;
    const log = silentLog();
    const metrics = { desiredRefused: () => undefined, reportPublished: () => undefined } as unknown as AgentMetrics;
    this.reporter = new Reporter({
      bootId,
      content: () => this.content(),
      publish: (report) => this.publish(report),
      log,
      metrics,
    });
    this.keeper = rules.makeKeeper({
      clusterId: machine.clusterId,
      document: {
        read: async () => this.machine.disk.current as never,
        write: async (state) => this.persist(state as DesiredState),
      },
      request: (have) => {
        this.askedAtMs = world.nowMs;
        return this.request(SUBJECTS.desiredFetch(machine.clusterId), have);
      },
      onContact: () => {
        machine.contactAtMs = Math.max(machine.contactAtMs, this.askedAtMs);
      },
      apply: (state) => {
        around.onApplied(this, state, this.isOpening);
        this.changed();
      },
      log,
      metrics,
    });
    this.outbox = new EventOutbox(machine.events, (event) => this.tell(event), world, this);
    this.tasks = new Tasks(machine, this.taskServices(), rules);
    world.after(world.between(50, 500), this, () => void this.start());
  }

  private taskServices(): ConstructorParameters<typeof Tasks>[1] {
    const { world, machine, around } = this;
    return {
      ...{ world, agent: this, registry: around.registry },
      isLinked: () => this.link?.isConnected === true,
      failsTransfer: () => world.chance(around.transferFailureShare()),
      silentSeconds: () => machine.silentSeconds(world.nowMs),
      startCommand: (run, resumedSeconds) => {
        around.onTaskStarting(this, run);
        return machine.startCommand(run, resumedSeconds, world, around.commandFaults());
      },
      emit: (event) => this.outbox.add(event),
      onEnding: (run, how) => around.onTaskEnding(this, run, how),
      onChange: () => this.changed(),
    };
  }

  cut(): void {
    if (this.link !== undefined) this.network.cut(this.link);
  }

  heal(): void {
    if (this.link !== undefined) this.network.heal(this.link);
  }

  kill(): void {
    this.state = 'dead';
    if (this.link !== undefined) this.network.leave(this.link);
  }

  /** Membership is over: the production agent stops itself and its engines. */
  removed(): void {
    this.kill();
    this.machine.engines.clear();
    for (const command of this.machine.commands) command.vanish();
  }

  engineCrashed(replicaId: string, processId: number): void {
    const replica = this.replicas.get(replicaId);
    if (replica === undefined || replica.processId !== processId || replica.phase === 'Stopping') return;
    replica.failures += 1;
    replica.phase = 'Failed';
    replica.processId = undefined;
    replica.retryAtMs = this.world.nowMs + retryDelayMs(replica.failures);
    this.changed();
  }

  private async start(): Promise<void> {
    this.tasks.open();
    await this.keeper.open();
    this.isOpening = false;
    this.adopt();
    this.turn();
    // As in production, the centre comes last: all before works without it (R4).
    this.link = this.network.join(this, this.machine.clusterId, {
      onMessage: (subject, value) => this.hear(subject, value),
      onConnected: () => {
        this.reporter.flush();
        void this.keeper.fetch();
        this.outbox.sendAll();
      },
      onDisconnected: () => undefined,
    });

    this.world.every(1_000, this, () => this.turn());
    this.world.every(1_000, this, () => this.beat());
    this.world.every(REPORT_MS, this, () => this.reporter.flush());
    this.world.every(CONTACT_MS, this, () => {
      if (this.tasks.isBusy) void this.keeper.fetch();
    });
    this.refetch();
  }

  private refetch(): void {
    this.world.after(REFETCH_MS * (0.75 + this.world.random() * 0.5), this, () => {
      void this.keeper.fetch();
      this.refetch();
    });
  }

  private async request(subject: string, have: unknown): Promise<unknown> {
    if (this.link === undefined) throw new Error('there is no connection yet');
    return this.network.request(this.link, subject, have);
  }

  /** Engines of the agent before: whatever runs goes on running. */
  private adopt(): void {
    for (const engine of this.machine.engines.values()) {
      const { replicaId, deploymentId, versionDigest, processId } = engine;
      const fresh = { phase: 'Starting' as const, restarts: 0, failures: 0 };
      this.replicas.set(replicaId, { replicaId, deploymentId, versionDigest, processId, ...fresh });
      this.awaitReady(engine);
    }
  }

  private persist(state: DesiredState): void {
    const { disk } = this.machine;
    disk.previous = disk.current;
    disk.current = state;
  }

  private hear(subject: string, value: unknown): void {
    if (subject === SUBJECTS.acked(this.machine.clusterId)) {
      const acked = ackedSchema.safeParse(value);
      if (acked.success) this.outbox.acknowledged(acked.data.ids);
    }
    if (subject !== SUBJECTS.desiredHint(this.machine.clusterId)) return;
    const hint = desiredHintSchema.safeParse(value);
    if (hint.success) this.keeper.hinted(hint.data);
  }

  private beat(): void {
    const { link } = this;
    if (link?.isConnected !== true) return;
    this.heartbeats += 1;
    const { revision } = this.keeper.position;
    const boot = this.bootId.slice(0, 8);
    const value = { boot, sequence: this.heartbeats, revision, inflight: 0, queued: 0, stallMs: 0 };
    this.network.toControlPlanes(link, SUBJECTS.heartbeat(this.machine.clusterId), value, false);
  }

  private tell(event: unknown): void {
    const { link } = this;
    if (link?.isConnected !== true) return;
    this.network.toControlPlanes(link, SUBJECTS.event(this.machine.clusterId), structuredClone(event), true);
  }

  /** Something that was sent long ago comes once more. */
  repeatEvent(): void {
    const { sent } = this.machine.events;
    if (sent.length > 0) this.tell(this.world.pick(sent));
  }

  private publish(report: ReportMessage): boolean {
    const { link } = this;
    if (link?.isConnected !== true) return false;
    this.network.toControlPlanes(link, SUBJECTS.report(this.machine.clusterId), report, true);
    return true;
  }

  private content(): Omit<ReportMessage, 'bootId' | 'sequence'> {
    const here = [...this.replicas.values()].map(
      ({ replicaId, deploymentId, versionDigest, phase, restarts, processId }): ReplicaReport => ({
        replicaId,
        deploymentId,
        versionDigest,
        phase,
        reason: '',
        restarts,
        ...(processId === undefined ? {} : { processId }),
      }),
    );
    const { state } = this.keeper;
    const replicas = replicaReports(state, here, this.held);
    const version = (digest: string, phase: 'Held' | 'Fetching') => ({ digest, phase, ...BYTES });
    return {
      clusterId: this.machine.clusterId,
      ...this.keeper.position,
      agentVersion: '0.1.0',
      nodes: [...this.machine.nodes] as ReportMessage['nodes'],
      replicas: replicas as ReportMessage['replicas'],
      versions: [
        ...[...this.held].map((digest) => version(digest, 'Held')),
        ...[...this.fetching.keys()].map((digest) => version(digest, 'Fetching')),
      ],
      tasks: this.tasks.reports(state?.tasks ?? []) as ReportMessage['tasks'],
    };
  }

  /** Reports soon, and turns once for all changes of one moment. */
  private changed(): void {
    if (!this.isReportDue) {
      this.isReportDue = true;
      this.world.after(COALESCE_MS, this, () => {
        this.isReportDue = false;
        this.reporter.flush();
      });
    }
    if (this.isTurnDue) return;
    this.isTurnDue = true;
    this.world.after(0, this, () => {
      this.isTurnDue = false;
      this.turn();
    });
  }

  private turn(): void {
    const desired = this.keeper.state;
    if (desired === null) return;
    const local = {
      replicas: [...this.replicas.values()],
      heldDigests: this.held,
      fetchingDigests: new Set(this.fetching.keys()),
      fetchRetryAtMs: new Map([...this.failures].map(([digest, { retryAtMs }]) => [digest, retryAtMs])),
    };
    for (const action of this.rules.reconcile(desired, local, this.world.nowMs)) this.execute(action);
    this.tasks.reconcile(desired, this.held);
    this.tasks.look();
  }

  private execute(action: AgentAction): void {
    switch (action.action) {
      case 'fetch':
        this.fetchVersion(action.version);
        break;
      case 'cancel-fetch':
        this.fetching.delete(action.digest);
        break;
      case 'start':
        this.startReplica(action.replica);
        break;
      case 'drain':
        this.stopReplica(action.replicaId, 'draining');
        break;
      case 'stop':
        this.stopReplica(action.replicaId, action.reason);
        break;
    }
  }

  /** From the disk it is only hashed again; else it comes over HTTP, which may fail. */
  private fetchVersion(version: DesiredVersion): void {
    const { digest } = version;
    const isHere = this.machine.disk.versions.has(digest);
    this.fetching.set(digest, version);
    this.world.after(isHere ? this.world.between(20, 200) : this.world.between(200, 4_000), this, () => {
      if (this.fetching.get(digest) !== version) return;
      this.fetching.delete(digest);
      if (!isHere && this.world.chance(this.around.transferFailureShare())) {
        const attempts = (this.failures.get(digest)?.attempts ?? 0) + 1;
        this.failures.set(digest, { attempts, retryAtMs: this.world.nowMs + retryDelayMs(attempts) });
        return this.changed();
      }
      this.failures.delete(digest);
      this.machine.disk.versions.add(digest);
      this.held.add(digest);
      this.changed();
    });
  }

  private startReplica(desired: DesiredReplica): void {
    const { replicaId, deploymentId, versionDigest } = desired;
    this.around.onStarting(this, desired);
    const before = this.replicas.get(replicaId);
    const restarts = (before?.restarts ?? 0) + (before?.phase === 'Failed' ? 1 : 0);
    const readyAtMs = this.world.nowMs + this.world.between(300, 3_000);
    const engine = this.machine.startEngine({ replicaId, deploymentId, versionDigest, readyAtMs });
    const { processId } = engine;
    const failures = before?.failures ?? 0;
    this.replicas.set(replicaId, { ...engine, phase: 'Starting', restarts, failures, processId });
    this.awaitReady(engine);
    this.changed();
  }

  private awaitReady({ replicaId, processId, readyAtMs }: Engine): void {
    const isSame = () => this.replicas.get(replicaId)?.processId === processId;
    this.world.after(Math.max(100, readyAtMs - this.world.nowMs), this, () => {
      const replica = this.replicas.get(replicaId);
      if (replica === undefined || !isSame() || replica.phase !== 'Starting') return;
      if (!this.machine.engines.has(replicaId)) return this.engineCrashed(replicaId, processId);
      replica.phase = 'Ready';
      this.changed();
      this.world.after(FORGIVEN_AFTER_MS, this, () => {
        if (isSame()) replica.failures = 0;
      });
    });
  }

  private stopReplica(replicaId: string, reason: string): void {
    const replica = this.replicas.get(replicaId);
    if (replica === undefined || replica.phase === 'Stopping') return;
    this.around.onStopping(this, replicaId, reason);
    replica.phase = 'Stopping';
    this.changed();
    this.world.after(this.world.between(50, 3_000), this, () => {
      this.machine.engines.delete(replicaId);
      this.replicas.delete(replicaId);
      this.changed();
    });
  }
}

const BYTES = { bytesHave: 1, bytesTotal: 1, reason: '' };

/** Production code logs into nothing. */
export function silentLog(): Logger {
  const nothing = () => undefined;
  return { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Logger;
}
