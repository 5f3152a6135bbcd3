/**
 * Runs the controllers while, and only while, this process holds the leader's lease. Every write of theirs carries the
 * epoch, so one that outlives its lease by a moment writes nothing.
 */
import { hostname } from 'node:os';
import { Injectable, Logger } from '@nestjs/common';
import { LeaderLease, Store } from '#domain';
import { FleetLiveness } from '../federation/fleet-liveness.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { RoutesPublisher } from '../federation/routes-publisher.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { keepConflicts } from './conflicts-loop.ts';
import { keepHouse } from './housekeeping.ts';
import { KeptFleet } from './kept-fleet.ts';
import { hintLagging } from './lagging-hints.ts';
import { LeaderClock } from './leader-clock.ts';
import { LivenessLoop } from './liveness-loop.ts';
import { type LoopOptions, runLoop } from './loop.ts';
import { MirrorLoop } from './mirror-loop.ts';
import { demandNewest } from './newest-epoch.ts';
import { relayOutbox } from './outbox-relay.ts';
import { SchedulerLoop } from './scheduler-loop.ts';
import { ServingDemand } from './serving-wants.ts';

const SCHEDULER_INTERVAL_MS = 5_000;
const SCHEDULER_REST_MS = 50;
const EPOCH_INTERVAL_MS = 5_000;
const EPOCH_REST_MS = 500;
const LIVENESS_INTERVAL_MS = 1_000;
const OUTBOX_INTERVAL_MS = 1_000;
const ROUTES_INTERVAL_MS = 5_000;
const ROUTES_REST_MS = 20;
const HINTS_INTERVAL_MS = 10_000;
/** Crons fire on minutes. */
const MIRROR_INTERVAL_MS = 20_000;
const MIRROR_REST_MS = 250;
const CONFLICTS_INTERVAL_MS = 5_000;
const CONFLICTS_REST_MS = 2_000;
const HOUSEKEEPING_INTERVAL_MS = 600_000;
/** What others write after a jump of the database's clock and before this look bears the wrong time. */
const CLOCK_INTERVAL_MS = 1_000;

/** One time of leading; `signal` aborts when it ends. */
export interface Term {
  readonly epoch: number;
  readonly signal: AbortSignal;
  /** What time it is, for all that is judged by time. */
  readonly clock: LeaderClock;
  /** As all that plan deployments see it. */
  readonly fleet: KeptFleet;
  /** What the scheduler finds no free devices for. */
  readonly serving: ServingDemand;
}

@Injectable()
export class LeaderService {
  private readonly logger = new Logger('leader');
  private readonly added: ((term: Term) => LoopOptions[])[] = [];
  private readonly stopping = new AbortController();
  private running: Promise<void> | null = null;
  private heldEpoch: number | null = null;

  constructor(
    private readonly store: Store,
    private readonly lease: LeaderLease,
    private readonly nats: ControlPlaneNats,
    private readonly liveness: FleetLiveness,
    private readonly routes: RoutesPublisher,
    private readonly metrics: FederationMetrics,
  ) {}

  /** The epoch held now; null while another process leads. */
  epoch(): number | null {
    return this.heldEpoch;
  }

  /** Runs these loops too in every term. For other folders, when their modules are made: before this begins to lead. */
  addLoops(loopsOf: (term: Term) => LoopOptions[]): void {
    this.added.push(loopsOf);
  }

  onApplicationBootstrap(): void {
    this.running = this.lead();
  }

  /** Ends the loops, gives the lease back, and resolves then. Idempotent. */
  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async lead(): Promise<void> {
    const { signal } = this.stopping;
    const holder = `${hostname()}/${process.pid}`;
    while (!signal.aborted) {
      const term = {
        name: 'lease',
        intervalMs: 0,
        restMs: 100,
        run: () => this.leadOnce(holder),
        onError: this.report,
      };
      await runLoop(term, signal);
    }
  }

  private async leadOnce(holder: string): Promise<void> {
    const { signal } = this.stopping;
    const lease = await this.lease.acquire(holder, signal);
    this.heldEpoch = lease.epoch;
    this.metrics.leading(lease.epoch);
    this.logger.log(`leading with epoch ${lease.epoch}`);
    try {
      this.liveness.blind(); // nobody is judged by what was not watched for the purpose
      const clock = await LeaderClock.begin(this.store, lease.epoch);
      const term = new AbortController();
      const ended = AbortSignal.any([signal, lease.lost, term.signal]);
      // One loop that learns that the epoch is over ends the others too.
      const loops = this.loops(lease.epoch, ended, clock).map((loop) =>
        runLoop(loop, ended).finally(() => term.abort()),
      );
      await Promise.all(loops);
    } finally {
      this.heldEpoch = null;
      this.metrics.leading(null);
      this.logger.log(`no longer leading (epoch ${lease.epoch})`);
      await lease.release();
    }
  }

  private loops(epoch: number, signal: AbortSignal, clock: LeaderClock): LoopOptions[] {
    const { store, nats, onError } = { store: this.store, nats: this.nats, onError: this.report };
    const serving = new ServingDemand();
    const fleet = new KeptFleet(store.read);
    const scheduler = new SchedulerLoop(store, epoch, this.metrics, clock, serving, fleet);
    const liveness = new LivenessLoop(store, this.liveness, () => nats.isConnected(), epoch, this.metrics);
    const mirror = new MirrorLoop(store, epoch, clock.now);
    const onIntent = (wake: () => void) => store.onChange('intent', wake);
    const onObservation = (wake: () => void) => store.onChange('observation', wake);
    const onOutbox = (wake: () => void) => store.onChange('outbox', wake);
    let isRoutesOwed = true;
    const onReconnect = (wake: () => void) =>
      nats.onStatus((_who, status) => {
        if (status.state !== 'connected') return;
        isRoutesOwed = true;
        wake();
      });
    const publishRoutes = async () => {
      const isOwed = isRoutesOwed;
      isRoutesOwed = false;
      this.metrics.routesSequence(await this.routes.refresh(epoch, isOwed));
    };
    return [
      {
        name: 'scheduler',
        intervalMs: SCHEDULER_INTERVAL_MS,
        restMs: SCHEDULER_REST_MS,
        wakes: [onIntent, onObservation],
        run: () => scheduler.run(signal),
        onError,
      },
      {
        name: 'epoch',
        intervalMs: EPOCH_INTERVAL_MS,
        restMs: EPOCH_REST_MS,
        wakes: [onIntent],
        run: () => demandNewest(store, epoch),
        onError,
      },
      { name: 'liveness', intervalMs: LIVENESS_INTERVAL_MS, run: () => liveness.run(), onError },
      {
        name: 'outbox',
        intervalMs: OUTBOX_INTERVAL_MS,
        wakes: [onOutbox, onReconnect],
        run: async () => {
          this.metrics.outboxPublished(await relayOutbox(store, nats, epoch, signal));
          this.metrics.outboxPending(await store.read.outbox.pending());
        },
        onError,
      },
      {
        name: 'routes',
        intervalMs: ROUTES_INTERVAL_MS,
        restMs: ROUTES_REST_MS,
        wakes: [onIntent, onObservation, onReconnect],
        run: publishRoutes,
        onError,
      },
      {
        name: 'mirror',
        intervalMs: MIRROR_INTERVAL_MS,
        restMs: MIRROR_REST_MS,
        wakes: [onIntent],
        run: () => mirror.run(signal),
        onError,
      },
      {
        name: 'hints',
        intervalMs: HINTS_INTERVAL_MS,
        run: async () => void (await hintLagging(store, nats.connection)),
        onError,
      },
      {
        name: 'conflicts',
        intervalMs: CONFLICTS_INTERVAL_MS,
        restMs: CONFLICTS_REST_MS,
        wakes: [onIntent, onObservation],
        run: async () => void (await keepConflicts(store, epoch, clock.now())),
        onError,
      },
      {
        name: 'housekeeping',
        intervalMs: HOUSEKEEPING_INTERVAL_MS,
        run: () => keepHouse(store, epoch, clock.nowMs()),
        onError,
      },
      { name: 'clock', intervalMs: CLOCK_INTERVAL_MS, run: () => this.follow(clock), onError },
      ...this.added.flatMap((loopsOf) => loopsOf({ epoch, signal, clock, fleet, serving })),
    ];
  }

  private async follow(clock: LeaderClock): Promise<void> {
    const jumpedSeconds = Math.round((await clock.follow()) / 1_000);
    if (jumpedSeconds === 0) return;
    this.logger.warn(
      `the database's clock has jumped by ${jumpedSeconds} s; it is followed slowly, nothing moves at once`,
    );
  }

  private readonly report = (name: string, error: unknown): void => {
    this.logger.error(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  };
}
