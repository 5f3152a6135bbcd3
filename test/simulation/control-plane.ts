/**
 * A control-plane process made of production parts: intake of reports and heartbeats, answers to fetches, the admin
 * services, and the leader's loops (scheduler, liveness, outbox, hints) with their production intervals. Only what
 * turns the loops is ours, because the production one turns by real timers.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import { desiredFetchSchema, heartbeatSchema } from '#contracts';
import { OBSERVER_GAP_MS, StaleEpochError, type Store } from '#domain';
import type { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { Clusters } from '../../apps/control-plane/src/clusters/clusters.ts';
import { Drains } from '../../apps/control-plane/src/clusters/drains.ts';
import { Deployments } from '../../apps/control-plane/src/deployments/deployments.ts';
import type { AccountClaimsPusher } from '../../apps/control-plane/src/federation/account-claims-pusher.ts';
import { DesiredFetch } from '../../apps/control-plane/src/federation/desired-fetch.ts';
import { EventIntake } from '../../apps/control-plane/src/federation/event-intake.ts';
import { FleetLiveness } from '../../apps/control-plane/src/federation/fleet-liveness.ts';
import type { FederationMetrics } from '../../apps/control-plane/src/federation/metrics.ts';
import { ReportIntake } from '../../apps/control-plane/src/federation/report-intake.ts';
import { writeOwedDocuments } from '../../apps/control-plane/src/jobs/documents-loop.ts';
import { JobLoop } from '../../apps/control-plane/src/jobs/job-loop.ts';
import { JobMetrics } from '../../apps/control-plane/src/jobs/job-metrics.ts';
import { Jobs } from '../../apps/control-plane/src/jobs/jobs.ts';
import { OutputPublisher } from '../../apps/control-plane/src/jobs/publish-output.ts';
import { removeExpired } from '../../apps/control-plane/src/jobs/removal.ts';
import { KeptFleet } from '../../apps/control-plane/src/leader/kept-fleet.ts';
import { hintLagging } from '../../apps/control-plane/src/leader/lagging-hints.ts';
import type { Term } from '../../apps/control-plane/src/leader/leader.service.ts';
import { LeaderClock } from '../../apps/control-plane/src/leader/leader-clock.ts';
import { LivenessLoop } from '../../apps/control-plane/src/leader/liveness-loop.ts';
import { relayOutbox } from '../../apps/control-plane/src/leader/outbox-relay.ts';
import { SchedulerLoop } from '../../apps/control-plane/src/leader/scheduler-loop.ts';
import { ServingDemand } from '../../apps/control-plane/src/leader/serving-wants.ts';
import { Mutations } from '../../apps/control-plane/src/mutations/mutations.ts';
import type { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import type { FleetDevicesReader } from '../../apps/control-plane/src/queues/fleet-devices.ts';
import { Queues } from '../../apps/control-plane/src/queues/queues.ts';
import { RolloutLoop } from '../../apps/control-plane/src/rollouts/rollout-loop.ts';
import type { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import type { Database } from './database.ts';
import type { Client, Network } from './network.ts';
import type { Registry } from './registry.ts';
import { RolloutDesk } from './rollout-desk.ts';
import type { Traffic } from './traffic.ts';
import type { SimulatedProcess, World } from './world.ts';

const LEASE_RETRY_MS = 500;
const RETRY_MS = 200;
const RETRY_MS_MAX = 10_000;

/** What the checks know of an observer, from the outside. */
export interface Watch {
  /** True time since when it has been awake and connected without a gap. */
  sinceMs: number;
  /** Cluster → true time of the last heartbeat that it heard. */
  readonly heardAtMs: Map<string, number>;
}

interface Loop {
  readonly intervalMs: number;
  readonly restMs: number;
  readonly run: () => Promise<unknown>;
}

export class ControlPlane implements SimulatedProcess {
  state: SimulatedProcess['state'] = 'running';
  epoch: number | null = null;
  readonly watch: Watch;
  readonly deployments: Deployments;
  readonly clusters: Clusters;
  readonly drains: Drains;
  readonly jobs: Jobs;
  readonly queues: Queues;
  readonly rollouts: RolloutDesk;
  readonly store: Store;
  private readonly client: Client;
  private readonly liveness: FleetLiveness;
  private readonly intake: ReportIntake;
  private readonly events: EventIntake;
  private readonly fetches: DesiredFetch;
  private readonly connection: NatsConnection;
  private readonly bootedAtMs: number;
  private pausedAtMs = 0;
  /** Whatever is counted, is not counted here. */
  private readonly metrics = new Proxy({}, { get: () => () => undefined }) as FederationMetrics;

  constructor(
    readonly name: string,
    private readonly world: World,
    private readonly database: Database,
    private readonly network: Network,
    private readonly traffic: Traffic,
    private readonly registry: Registry,
    public skewMs: number,
    /** A tracker of life that follows other rules, to prove that the checks notice. */
    liveness?: FleetLiveness,
    /** Whether the loops of jobs run. */
    private readonly hasJobs = false,
  ) {
    this.bootedAtMs = world.nowMs;
    this.watch = { sinceMs: Number.POSITIVE_INFINITY, heardAtMs: new Map() };
    this.store = database.connect(this);
    this.liveness = liveness ?? new FleetLiveness({ nowMs: () => this.monotonicMs() });
    this.client = network.join(this, null, {
      onMessage: (subject, value) => this.hear(subject, value),
      onRequest: (subject, value) => this.answer(subject, value),
      onConnected: () => {
        this.watch.sinceMs = world.nowMs;
      },
      onDisconnected: () => {
        this.watch.sinceMs = Number.POSITIVE_INFINITY;
      },
    });
    this.connection = {
      publish: (subject: string, bytes: Uint8Array, options: { headers?: unknown } = {}) =>
        network.publish(this.client, subject, bytes, options.headers !== undefined),
      flush: () => network.flush(this.client),
    } as unknown as NatsConnection;
    const nats = { connection: this.connection } as ControlPlaneNats;
    const { metrics } = this;
    const { blobStore } = registry;
    this.events = new EventIntake(this.store, nats, metrics, blobStore);
    this.intake = new ReportIntake(this.store, nats, this.liveness, metrics);
    const blobs = { url: 'https://blobs.example', token: 'token', expiresInSeconds: 900 };
    this.fetches = new DesiredFetch(this.store, { issue: async () => blobs } as unknown as BlobTokens);
    // Stored answers are sealed with a key of the installation; here they need not be.
    const secrets = { seal: (text: string) => text, unseal: (text: string) => text } as unknown as Secrets;
    const mutations = new Mutations(this.store, secrets);
    // Claims are given in numbers here: no file is read.
    this.deployments = new Deployments(this.store, mutations, blobStore);
    this.jobs = new Jobs(this.store, mutations, blobStore);
    const fleet = { read: async () => ({ totals: {}, clusters: [] }) } as unknown as FleetDevicesReader;
    this.queues = new Queues(this.store, mutations, fleet);
    this.rollouts = new RolloutDesk(this.store);
    // The fleet cuts revoked links itself, at the commit.
    const claims = { request: async () => undefined } as unknown as AccountClaimsPusher;
    this.clusters = new Clusters(this.store, mutations, claims);
    this.drains = new Drains(this.store, mutations);
    this.campaign();
  }

  get isConnected(): boolean {
    return this.client.isConnected;
  }

  cut(): void {
    this.network.cut(this.client);
  }

  heal(): void {
    this.network.heal(this.client);
  }

  kill(): void {
    this.state = 'dead';
    this.database.disconnected(this);
    this.network.leave(this.client);
  }

  pause(): void {
    this.state = 'paused';
    this.pausedAtMs = this.world.nowMs;
    this.database.silent(this);
  }

  resume(): void {
    if (this.state !== 'paused') return;
    // A shorter sleep is no gap to an observer (OBSERVER_GAP_MS).
    const hasSlept = this.world.nowMs - this.pausedAtMs > OBSERVER_GAP_MS;
    if (hasSlept && this.client.isConnected) this.watch.sinceMs = this.world.nowMs;
    this.world.resume(this);
  }

  private monotonicMs(): number {
    return this.world.nowMs - this.bootedAtMs;
  }

  private hear(subject: string, value: unknown): void {
    const [, , clusterId = '', kind] = subject.split('.');
    if (kind === 'hb' && heartbeatSchema.safeParse(value).success) {
      this.watch.heardAtMs.set(clusterId, this.world.nowMs);
      this.liveness.seen(clusterId);
    }
    if (kind === 'event') {
      // What could not be taken is not acknowledged, and comes again.
      this.events.take({ clusterId, messageId: '', body: value, deliveries: 1 }).catch(() => undefined);
    }
    if (kind === 'report') {
      this.intake.take(clusterId, value).then(
        (outcome) => {
          if (outcome === 'accepted') this.watch.heardAtMs.set(clusterId, this.world.nowMs);
        },
        () => undefined,
      );
    }
  }

  private async answer(subject: string, value: unknown): Promise<unknown> {
    const clusterId = subject.split('.')[2]!;
    const asked = desiredFetchSchema.parse(value);
    return (await this.fetches.answer(clusterId, asked)) ?? { error: { code: 'not-a-member', message: '' } };
  }

  /** Tries for the lease every 500 ms while it does not lead. */
  private campaign(): void {
    if (this.epoch === null) this.database.tryLead(this, (epoch) => this.lead(epoch));
    this.world.after(LEASE_RETRY_MS, this, () => this.campaign());
  }

  private lead(epoch: number): void {
    // A lease that ended while this process slept is noticed by its keeper, as in production.
    if (this.database.leader !== this) return;
    this.epoch = epoch;
    this.world.say(`${this.name} leads with epoch ${epoch}`);
    this.liveness.blind();
    const term = new AbortController();
    const end = () => {
      if (term.signal.aborted) return;
      term.abort();
      // A lease won anew meanwhile, after a sleep that ended the one before, is not this term's to give back.
      if (this.epoch === epoch) {
        this.epoch = null;
        this.database.release(this);
      }
      this.world.say(`${this.name} no longer leads (epoch ${epoch})`);
    };
    this.keepLease(term.signal, end);
    LeaderClock.begin(this.store, epoch, { nowMs: () => this.monotonicMs() }).then((clock) => {
      if (!term.signal.aborted) this.runLoops(term.signal, end, epoch, clock);
    }, end);
  }

  /** As `LeaderService` of the control plane. */
  private runLoops(signal: AbortSignal, end: () => void, epoch: number, clock: LeaderClock): void {
    const nats = { connection: this.connection, isConnected: () => this.client.isConnected };
    const serving = new ServingDemand();
    const fleet = new KeptFleet(this.store.read);
    const scheduler = new SchedulerLoop(this.store, epoch, this.metrics, clock, serving, fleet);
    const liveness = new LivenessLoop(this.store, this.liveness, nats.isConnected, epoch, this.metrics);
    const wakeScheduler = this.loop(signal, end, {
      intervalMs: 5_000,
      restMs: 50,
      run: () => scheduler.run(signal),
    });
    const wakeOutbox = this.loop(signal, end, {
      intervalMs: 1_000,
      restMs: 0,
      run: () => relayOutbox(this.store, nats, epoch, signal),
    });
    const rollouts = new RolloutLoop(this.store, epoch, this.traffic, this.metrics, clock, fleet);
    const wakeRollouts = this.loop(signal, end, {
      intervalMs: 2_000,
      restMs: 200,
      run: () => rollouts.run(signal),
    });
    const jobs = this.hasJobs ? this.jobLoops(signal, end, { epoch, clock, fleet, serving }) : [];
    this.loop(signal, end, { intervalMs: 1_000, restMs: 0, run: () => clock.follow() });
    this.loop(signal, end, { intervalMs: 1_000, restMs: 0, run: () => liveness.run() });
    this.loop(signal, end, { intervalMs: 10_000, restMs: 0, run: () => hintLagging(this.store, this.connection) });
    const stops = [
      ...jobs,
      this.store.onChange('intent', wakeScheduler),
      this.store.onChange('observation', wakeScheduler),
      this.store.onChange('intent', wakeRollouts),
      this.store.onChange('observation', wakeRollouts),
      this.store.onChange('outbox', wakeOutbox),
    ];
    signal.addEventListener('abort', () => {
      for (const stop of stops) stop();
    });
  }

  /** As `JobLoops` of the control plane, with its intervals. */
  private jobLoops(
    signal: AbortSignal,
    end: () => void,
    { epoch, clock, serving }: Omit<Term, 'signal'>,
  ): (() => void)[] {
    const { store } = this;
    const publisher = new OutputPublisher(this.registry.blobStore, { pickleAllowed: false });
    const parts = { store, epoch, publisher, metrics: new JobMetrics(), serving: () => serving.current(), clock };
    const jobs = new JobLoop(parts);
    const wakeJobs = this.loop(signal, end, { intervalMs: 2_000, restMs: 50, run: () => jobs.run(signal) });
    const wakeDocuments = this.loop(signal, end, {
      intervalMs: 5_000,
      restMs: 20,
      run: () => writeOwedDocuments(store, epoch, signal),
    });
    this.loop(signal, end, {
      intervalMs: 60_000,
      restMs: 0,
      run: () => removeExpired(store, epoch, clock.now(), signal),
    });
    return [
      store.onChange('intent', wakeJobs),
      store.onChange('observation', wakeJobs),
      store.onChange('intent', wakeDocuments),
    ];
  }

  /** The production keeper asks its session each second; here that is one look at who holds the lock. */
  private keepLease(signal: AbortSignal, end: () => void): void {
    this.world.after(1_000, this, () => {
      if (signal.aborted) return;
      if (this.database.leader !== this) end();
      else this.keepLease(signal, end);
    });
  }

  /** As the production loop turns: woken or by interval, never twice at once, growing waits after failures. */
  private loop(signal: AbortSignal, end: () => void, { intervalMs, restMs, run }: Loop): () => void {
    let isRunning = false;
    let isRung = false;
    let failures = 0;
    let turn = 0;
    const begin = (): void => {
      if (signal.aborted || isRunning) return;
      isRunning = true;
      isRung = false;
      run().then(
        () => {
          failures = 0;
          this.world.after(restMs, this, () => rest(isRung ? 0 : intervalMs));
        },
        (error: unknown) => {
          if (error instanceof StaleEpochError) return end();
          failures += 1;
          const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(failures - 1, 6));
          this.world.say(`${this.name}: ${error instanceof Error ? error.message : String(error)}`);
          this.world.after(waitMs, this, () => rest(0));
        },
      );
    };
    const rest = (waitMs: number): void => {
      isRunning = false;
      turn += 1;
      const mine = turn;
      this.world.after(waitMs, this, () => {
        if (mine === turn) begin();
      });
    };
    this.world.after(0, this, begin);
    return () => {
      isRung = true;
      if (!isRunning) rest(0);
    };
  }
}
