/**
 * Writes the phases that heartbeats ask for: Ready or Draining ↔ Suspect → Unknown. What this observer missed while it was paused or
 * cut off from NATS counts against nobody: it starts a fresh watch instead (R6).
 */
import { type Cluster, JUDGED_PHASES, judgedPhase, type Rows, type Store } from '#domain';
import type { FleetLiveness } from '../federation/fleet-liveness.ts';
import type { FederationMetrics } from '../federation/metrics.ts';

export class LivenessLoop {
  /** Null before the first look: whoever is a member then has been watched since the term began. */
  private judged: ReadonlySet<string> | null = null;

  constructor(
    private readonly store: Store,
    private readonly liveness: FleetLiveness,
    private readonly isNatsConnected: () => boolean,
    private readonly epoch: number,
    private readonly metrics: FederationMetrics,
  ) {}

  /** About once a second. */
  async run(): Promise<void> {
    this.liveness.tick();
    if (!this.isNatsConnected()) return this.liveness.blind();
    const clusters = await this.store.read.clusters.all();
    this.metrics.clusterPhases(countPhases(clusters));
    this.watch(clusters);
    const changed = clusters.filter((cluster) => this.wantedPhase(cluster) !== null);
    if (changed.length === 0) return;
    await this.store.transaction((rows) => this.write(rows, changed), { epoch: this.epoch });
  }

  private async write(rows: Rows, changed: readonly Cluster[]): Promise<void> {
    for (const { id } of [...changed].sort((left, right) => (left.id < right.id ? -1 : 1))) {
      const cluster = await rows.clusters.find({ id }, true);
      const phase = cluster === null ? null : this.wantedPhase(cluster);
      if (cluster === null || phase === null) continue;
      await rows.clusters.update(id, cluster.revision, { phase });
      await rows.audit.add({
        tenantId: cluster.tenantId,
        actor: 'controller:liveness',
        action: 'clusters.judge',
        targetKind: 'cluster',
        targetId: id,
        detail: { from: cluster.phase, to: phase },
      });
    }
  }

  /** One that has just joined or been accepted has as long as any other to be heard. */
  private watch(clusters: readonly Cluster[]): void {
    const judged = new Set(clusters.filter(({ phase }) => JUDGED_PHASES.has(phase)).map(({ id }) => id));
    const before = this.judged ?? judged;
    for (const id of judged) if (!before.has(id)) this.liveness.expect(id);
    for (const id of before) if (!judged.has(id)) this.liveness.forget(id);
    this.judged = judged;
  }

  private wantedPhase(cluster: Cluster) {
    const { life, seenSinceWatching } = this.liveness.judge(cluster.id);
    return judgedPhase(cluster.phase, life, seenSinceWatching, cluster.drain !== null);
  }
}

function countPhases(clusters: readonly Cluster[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { phase } of clusters) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  return counts;
}
