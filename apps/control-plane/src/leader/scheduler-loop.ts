/** Brings placements to what deployments want: read a snapshot, plan the fleet, commit each plan that does something. */
import { Logger } from '@nestjs/common';
import type { Store } from '#domain';
import { type DeploymentPlan, type FleetSnapshot, planFleet } from '#scheduling';
import { type MonotonicClock, ProcessClock } from '../federation/fleet-liveness.ts';
import type { FederationMetrics } from '../federation/metrics.ts';
import { applyPlan } from './apply-plan.ts';
import { DecisionLog } from './decision-log.ts';
import { FailureMemory } from './failure-memory.ts';
import { PhaseAges } from './phase-ages.ts';
import { type ServingDemand, servingWantsOf } from './serving-wants.ts';
import { readSchedulingSnapshot } from './snapshot.ts';

export class SchedulerLoop {
  private readonly logger = new Logger('scheduler');
  private readonly failures = new FailureMemory();
  private readonly decisions: DecisionLog;
  private readonly ages: PhaseAges;

  constructor(
    private readonly store: Store,
    private readonly epoch: number,
    private readonly metrics: FederationMetrics,
    clock: Pick<MonotonicClock, 'nowMs'> = new ProcessClock(),
    private readonly serving?: Pick<ServingDemand, 'tell'>,
  ) {
    this.ages = new PhaseAges(clock);
    this.decisions = new DecisionLog(epoch);
  }

  /** One cycle. A plan that cannot be committed does not keep the others from being so. */
  async run(signal: AbortSignal): Promise<void> {
    const begunAtMs = performance.now();
    const read = this.ages.apply(await readSchedulingSnapshot(this.store.read));
    const snapshot: FleetSnapshot = { ...read, failedIn: this.failures.update(read) };
    const failed: unknown[] = [];
    const plans = planFleet(snapshot);
    this.serving?.tell(servingWantsOf(snapshot, plans));
    for (const plan of plans) {
      if (signal.aborted) return;
      await this.commit(snapshot, plan).catch((error: unknown) => failed.push(error));
    }
    this.metrics.scheduled((performance.now() - begunAtMs) / 1_000);
    if (failed.length > 0) throw failed[0];
  }

  private async commit(snapshot: FleetSnapshot, plan: DeploymentPlan): Promise<void> {
    const decision = await this.decisions.decide(this.store.read, snapshot, plan);
    const { deletedAt } = snapshot.deployments.find(({ id }) => id === plan.deploymentId)!;
    const isIdle = plan.assign.length + plan.drain.length + plan.remove.length === 0;
    const isOver =
      deletedAt !== null && !snapshot.placements.some((placement) => placement.deploymentId === plan.deploymentId);
    if (isIdle && !isOver && decision === null) return;
    const applied = await applyPlan(this.store, this.epoch, plan, isOver ? null : decision);
    if (applied.isGone) this.decisions.forget(plan.deploymentId);
    else if (decision !== null) this.decisions.remember(plan);
    this.metrics.decided('assigned', applied.assigned.length);
    this.metrics.decided('rejected', applied.rejected.length);
    this.metrics.decided('drained', applied.drained);
    this.metrics.decided('removed', applied.removed);
    for (const { assignment, reason } of applied.rejected) {
      this.logger.warn(`deployment ${plan.deploymentId}: ${assignment.clusterName} was not taken: ${reason}`);
    }
    this.logger.log(`deployment ${plan.deploymentId}: ${plan.decision.outcome}`);
  }
}
