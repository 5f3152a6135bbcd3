/**
 * Which clusters are alive, as this gateway sees it: from their own heartbeats, from NATS' word that a connection went,
 * and from nothing while the gateway itself is cut off (a blind observer judges nobody; R6, R8).
 */
import { clusterDisconnectedSchema, heartbeatSchema, SUBJECTS } from '#contracts';
import { LivenessTracker, type RouteCluster, SUSPECT_AFTER_MS } from '#domain';
import { type NatsSession, subscribeJson } from '#messaging';
import type { Logger } from '#telemetry';

const TICK_MS = 250;

export class FleetView {
  private readonly tracker: LivenessTracker;
  /** Clusters that NATS said are gone; their next heartbeat takes them off. */
  private readonly disconnected = new Set<string>();
  private readonly suspectListeners = new Set<(clusterId: string) => void>();
  private readonly suspected = new Set<string>();
  private readonly subscriptions: (() => Promise<void>)[] = [];
  private readonly heard = new Set<string>();
  private connected = false;
  private stopped = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly clusterIds: () => Iterable<string>,
    private readonly logger: Logger,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.tracker = new LivenessTracker(nowMs());
  }

  follow(session: NatsSession): void {
    if (this.stopped) return;
    const onError = (error: Error) => this.logger.debug({ err: error }, 'sign of life not understood');
    this.subscriptions.push(
      subscribeJson(
        session.connection,
        SUBJECTS.heartbeat('*'),
        ({ subject, value }) => {
          if (heartbeatSchema.safeParse(value).success) this.seen(subject.split('.')[2]!);
        },
        { onError, pendingMax: 10_000 },
      ),
      subscribeJson(
        session.connection,
        SUBJECTS.links,
        ({ value }) => {
          const parsed = clusterDisconnectedSchema.safeParse(value);
          if (parsed.success && !parsed.data.connected) this.lost(parsed.data.clusterId);
        },
        { onError },
      ),
    );
    this.setConnected(true);
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** Own connection to NATS came or went: what was missed meanwhile counts against nobody. */
  setConnected(connected: boolean): void {
    this.connected = connected;
    this.tracker.blind(this.nowMs());
    // Old negatives end with the watch that made them (R8); who is still gone is noticed again within 3 s.
    this.disconnected.clear();
    this.suspected.clear();
  }

  seen(clusterId: string): void {
    this.heard.add(clusterId);
    this.tracker.seen(clusterId, this.nowMs());
    this.disconnected.delete(clusterId);
    this.suspected.delete(clusterId);
  }

  /** Why a cluster may not be routed to now, or null. */
  problem(cluster: RouteCluster): string | null {
    if (cluster.phase === 'PendingApproval' || cluster.phase === 'Left') return `in a cluster that is ${cluster.phase}`;
    if (!this.connected) return null;
    if (this.disconnected.has(cluster.id)) return 'in a cluster that disconnected';
    return this.tracker.judge(cluster.id, this.nowMs()) === 'Alive'
      ? null
      : `in a cluster silent for more than ${SUSPECT_AFTER_MS / 1_000} s`;
  }

  /** Called when a cluster turns from routable to not. Returns how to stop listening. */
  onSuspect(listener: (clusterId: string) => void): () => void {
    this.suspectListeners.add(listener);
    return () => this.suspectListeners.delete(listener);
  }

  /** Forgets clusters that are no longer routed. */
  retain(clusters: ReadonlyMap<string, RouteCluster>): void {
    for (const clusterId of this.heard) {
      if (clusters.has(clusterId)) continue;
      this.heard.delete(clusterId);
      this.tracker.forget(clusterId);
      this.disconnected.delete(clusterId);
      this.suspected.delete(clusterId);
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    this.suspectListeners.clear();
    await Promise.all(this.subscriptions.map((unsubscribe) => unsubscribe()));
  }

  /** NATS said that this cluster's connection is gone: not routable until its next heartbeat. */
  lost(clusterId: string): void {
    if (!this.connected) return;
    this.disconnected.add(clusterId);
    this.suspect(clusterId);
  }

  /** Turns the clock's word into suspicion; called every 250 ms. */
  tick(): void {
    const nowMs = this.nowMs();
    this.tracker.tick(nowMs);
    if (!this.connected) return;
    for (const clusterId of this.clusterIds()) {
      if (this.tracker.judge(clusterId, nowMs) !== 'Alive') this.suspect(clusterId);
    }
  }

  private suspect(clusterId: string): void {
    if (this.suspected.has(clusterId)) return;
    this.suspected.add(clusterId);
    for (const listener of this.suspectListeners) listener(clusterId);
  }
}
