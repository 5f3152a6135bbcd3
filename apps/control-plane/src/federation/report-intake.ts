/**
 * Takes what a cluster says is so. The newest report replaces the one before, whole; one of another cluster, an older
 * epoch or a replaced boot changes nothing and is counted. The subject says who speaks: NATS' permissions make it true.
 */
import { Injectable, Logger } from '@nestjs/common';
import { type ReportMessage, reportSchema, SUBJECTS } from '#contracts';
import {
  BootWatch,
  type Cluster,
  type DesiredPosition,
  isMember,
  isReturn,
  judgePosition,
  judgeReport,
  type ReportVerdict,
  type Rows,
  replacedBootsAfter,
  Store,
} from '#domain';
import { publishJson } from '#messaging';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { FleetLiveness } from './fleet-liveness.ts';
import { FederationMetrics } from './metrics.ts';

export type ReportOutcome = ReportVerdict | 'malformed' | 'not-a-member';

type Reached = Pick<ReportMessage, 'bootId' | 'sequence'>;

interface Taken {
  readonly outcome: ReportOutcome;
  readonly desired: DesiredPosition | null;
  /** The boot that reported before, where this one had been replaced and reports again. */
  readonly replaced?: Reached;
}

@Injectable()
export class ReportIntake {
  private readonly logger = new Logger('reports');
  /** Of clusters in which a boot came back; few, and small. */
  private readonly watches = new Map<string, BootWatch>();

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
    private readonly liveness: FleetLiveness,
    private readonly metrics: FederationMetrics,
  ) {}

  /** `subjectClusterId` is from the subject; `value` is whatever came. */
  async take(subjectClusterId: string, value: unknown): Promise<ReportOutcome> {
    const parsed = reportSchema.safeParse(value);
    if (!parsed.success) return this.drop('malformed');
    const report = parsed.data;
    if (report.clusterId !== subjectClusterId) return this.drop('foreign');
    const { outcome, desired, replaced } = await this.store.transaction((rows) => this.write(rows, report));
    if (outcome !== 'accepted') return this.drop(outcome);
    this.metrics.taken('report');
    this.liveness.seen(subjectClusterId);
    if (replaced !== undefined) this.tellRivals(report, desired, replaced);
    else if (desired !== null && isBehind(report, desired)) this.hint(desired);
    return outcome;
  }

  private async write(rows: Rows, report: ReportMessage): Promise<Taken> {
    const cluster = await rows.clusters.find({ id: report.clusterId });
    if (cluster === null || !isMember(cluster.phase)) return { outcome: 'not-a-member', desired: null };
    const before = await rows.observations.find(cluster.id, true);
    const known = before === null ? null : { ...before.report, replacedBoots: before.replacedBoots };
    const outcome = judgeReport(cluster.id, known, report);
    if (outcome !== 'accepted') return { outcome, desired: null };
    const replacedBoots = replacedBootsAfter(known, report.bootId);
    await rows.observations.upsert({ clusterId: cluster.id, report, replacedBoots });
    const desired = await rows.desired.position(cluster.id);
    await noteLead(rows, cluster, desired, report);
    return { outcome, desired, ...(isReturn(known, report.bootId) ? { replaced: known! } : {}) };
  }

  /** Two agents may live with one identity. They hear of each other, and the older one stops (`libs/domain/rivals.ts`). */
  private tellRivals(report: ReportMessage, desired: DesiredPosition | null, replaced: Reached): void {
    const { clusterId, bootId, sequence } = report;
    const boots = [{ bootId, sequence }, replaced].map((each) => ({ bootId: each.bootId, sequence: each.sequence }));
    const { epoch, revision } = desired ?? { epoch: 0, revision: 0 };
    publishJson(this.nats.connection, SUBJECTS.desiredHint(clusterId), { epoch, revision, boots });
    this.metrics.dropped('report', 'rival');
    const nowMs = performance.now();
    const watch = this.watches.get(clusterId) ?? new BootWatch();
    this.watches.set(clusterId, watch);
    for (const each of boots) watch.heard(each.bootId, each.sequence, nowMs);
    if (watch.rivalsOf(bootId, nowMs).length === 0) return;
    this.logger.warn(
      `Two agents report for cluster ${clusterId} with one identity, boots ${bootId} and ${replaced.bootId}; the older stops.`,
    );
  }

  private hint({ clusterId, epoch, revision }: DesiredPosition): void {
    publishJson(this.nats.connection, SUBJECTS.desiredHint(clusterId), { epoch, revision });
  }

  private drop<Outcome extends ReportOutcome>(outcome: Outcome): Outcome {
    this.metrics.dropped('report', outcome);
    return outcome;
  }
}

/**
 * Notes that the agent has applied what this database does not know, or that this is over (R20). Whoever changed the
 * cluster meanwhile wins: the next report says it again.
 */
async function noteLead(
  rows: Rows,
  cluster: Cluster,
  desired: DesiredPosition | null,
  { epoch, revision }: Pick<ReportMessage, 'epoch' | 'revision'>,
): Promise<void> {
  const { id, tenantId, name, ahead: known } = cluster;
  const isAhead = judgePosition(desired, { epoch, revision }) === 'ahead';
  if (!isAhead && known === null) return;
  if (isAhead && known?.epoch === epoch && known.revision === revision) return;
  const since = known?.since ?? (await rows.clock.now()).toISOString();
  const ahead = isAhead ? { epoch, revision, since } : null;
  if (!(await rows.clusters.update(id, cluster.revision, { ahead }))) return;
  const stored = { epoch: desired?.epoch ?? 0, revision: desired?.revision ?? 0 };
  await rows.audit.add({
    tenantId,
    actor: 'controller:reports',
    action: isAhead ? 'clusters.ahead' : 'clusters.ahead-over',
    targetKind: 'cluster',
    targetId: id,
    detail: { name, reported: { epoch, revision }, stored },
  });
}

/** Whether the cluster has not applied the newest document yet. */
export function isBehind(
  report: Pick<ReportMessage, 'epoch' | 'revision'>,
  desired: Pick<DesiredPosition, 'epoch' | 'revision'>,
): boolean {
  return report.epoch < desired.epoch || report.revision < desired.revision;
}
