/**
 * What federation and the leader count, as a port: Prometheus in the process, memory in specs. Names of metrics are
 * libs/telemetry's.
 */
import type { Metrics } from '#telemetry';

export type Conversation =
  | 'heartbeat'
  | 'report'
  | 'fetch'
  | 'sync'
  | 'bundle'
  | 'lease'
  | 'event'
  | 'usage'
  | 'gateways'
  | 'outcomes';

/** Why a rollout was aborted; an operator's word needs no other reason. */
export type AbortKind = 'failed-starts' | 'error-rate' | 'latency' | 'operator';

export interface ActiveRollout {
  readonly servedModel: string;
  readonly phase: 'Progressing' | 'Paused';
  /** Counted from 1; 0 before the first is open. */
  readonly wave: number;
}

export abstract class FederationMetrics {
  /** A message that changed nothing; `reason` is one of a handful of fixed words. */
  abstract dropped(conversation: Conversation, reason: string): void;
  /** A message that was taken. */
  abstract taken(conversation: Conversation): void;
  /** The epoch led with; null: another process leads. */
  abstract leading(epoch: number | null): void;
  /** One scheduling pass. */
  abstract scheduled(seconds: number): void;
  /** Replicas of one committed plan. */
  abstract decided(outcome: 'assigned' | 'drained' | 'removed' | 'rejected', count: number): void;
  abstract outboxPublished(count: number): void;
  abstract outboxPending(count: number): void;
  /** How many clusters are in each phase; phases without any may be left out. */
  abstract clusterPhases(counts: ReadonlyMap<string, number>): void;
  abstract routesSequence(sequence: number): void;
  /** All that are active; the leader's view. */
  abstract rollouts(active: readonly ActiveRollout[]): void;
  abstract rolloutAborted(kind: AbortKind): void;
}

/** Injection token for the process' metrics; without a provider of it, counts stay in memory. */
export abstract class ControlPlaneMetrics {
  abstract readonly metrics: Metrics<'control-plane'>;
}

export class PrometheusFederation extends FederationMetrics {
  constructor(private readonly metrics: Metrics<'control-plane'>) {
    super();
  }

  override dropped(conversation: Conversation, reason: string): void {
    this.metrics.messagesTotal.inc({ conversation, outcome: reason });
    if (conversation === 'report') this.metrics.reportsDroppedTotal.inc({ reason });
  }

  override taken(conversation: Conversation): void {
    this.metrics.messagesTotal.inc({ conversation, outcome: 'taken' });
  }

  override leading(epoch: number | null): void {
    this.metrics.isLeader.set(epoch === null ? 0 : 1);
    if (epoch !== null) this.metrics.leaderEpoch.set(epoch);
  }

  override scheduled(seconds: number): void {
    this.metrics.schedulerSeconds.observe(seconds);
  }

  override decided(outcome: 'assigned' | 'drained' | 'removed' | 'rejected', count: number): void {
    if (count > 0) this.metrics.schedulerDecisionsTotal.inc({ outcome }, count);
  }

  override outboxPublished(count: number): void {
    this.metrics.outboxPublishedTotal.inc(count);
  }

  override outboxPending(count: number): void {
    this.metrics.outboxPending.set(count);
  }

  override clusterPhases(counts: ReadonlyMap<string, number>): void {
    this.metrics.clusters.reset();
    for (const [phase, count] of counts) this.metrics.clusters.set({ phase }, count);
  }

  override routesSequence(sequence: number): void {
    this.metrics.routesSequence.set(sequence);
  }

  override rollouts(active: readonly ActiveRollout[]): void {
    for (const phase of ['Progressing', 'Paused'] as const) {
      this.metrics.rollouts.set({ phase }, active.filter((rollout) => rollout.phase === phase).length);
    }
    this.metrics.rolloutWave.reset();
    for (const { servedModel: model, wave } of active) this.metrics.rolloutWave.set({ model }, wave);
  }

  override rolloutAborted(reason: AbortKind): void {
    this.metrics.rolloutAbortsTotal.inc({ reason });
  }
}

/** Keeps the counts of messages in memory: what specs read. */
export class CountedFederation extends FederationMetrics {
  private readonly counts = new Map<string, number>();

  override dropped(conversation: Conversation, reason: string): void {
    this.add(`${conversation} dropped: ${reason}`);
  }

  override taken(conversation: Conversation): void {
    this.add(`${conversation} taken`);
  }

  override leading(): void {}
  override scheduled(): void {}
  override decided(): void {}
  override outboxPublished(): void {}
  override outboxPending(): void {}
  override clusterPhases(): void {}
  override routesSequence(): void {}
  override rollouts(): void {}

  override rolloutAborted(kind: AbortKind): void {
    this.add(`rollout aborted: ${kind}`);
  }

  /** `droppedBecause` null: how many were taken. */
  countOf(conversation: Conversation, droppedBecause: string | null): number {
    return this.counts.get(`${conversation} ${droppedBecause === null ? 'taken' : `dropped: ${droppedBecause}`}`) ?? 0;
  }

  abortsBecause(kind: AbortKind): number {
    return this.counts.get(`rollout aborted: ${kind}`) ?? 0;
  }

  private add(key: string): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }
}
