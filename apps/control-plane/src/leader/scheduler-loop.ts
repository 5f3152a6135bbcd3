/**
 * Brings placements to what deployments want: look at the fleet, plan it, commit each plan that does something. A fleet
 * that was planned with nothing to do, and in which nothing falls due, is not planned again before something changes.
 */
import { Logger } from '@nestjs/common';
import type { Store } from '#domain';
import { type DeploymentPlan, DeploymentPlanner, type FleetSnapshot, isTimeBound } from '#scheduling';
import type { FederationMetrics } from '../federation/metrics.ts';
import { applyPlan } from './apply-plan.ts';
import { DecisionLog } from './decision-log.ts';
import { FailureMemory } from './failure-memory.ts';
import { type Fleet, KeptFleet } from './kept-fleet.ts';
import type { LeaderClock } from './leader-clock.ts';
import { PhaseAges } from './phase-ages.ts';
import { type ServingDemand, type ServingWant, servingWantsOf } from './serving-wants.ts';

/** Of a plan: `refused`, where not all of it was taken. */
type Outcome = 'idle' | 'taken' | 'refused' | 'failed';

/** Cycles in a row in which something was refused, before the whole fleet is read anew. */
const REFUSALS_MAX = 3;

export class SchedulerLoop {
  private readonly logger = new Logger('scheduler');
  private readonly planner = new DeploymentPlanner();
  private readonly failures = new FailureMemory();
  private readonly decisions: DecisionLog;
  private readonly ages: PhaseAges;
  /** The fleet in which nothing was to be done, whenever that is asked; null: there is something. */
  private settled: Fleet | null = null;
  private wants: readonly ServingWant[] = [];
  /** Cycles in a row in which something was refused. */
  private refusals = 0;

  constructor(
    private readonly store: Store,
    private readonly epoch: number,
    private readonly metrics: FederationMetrics,
    /** The term's. */
    private readonly clock: Pick<LeaderClock, 'nowMs'>,
    private readonly serving?: Pick<ServingDemand, 'tell'>,
    private readonly kept: Pick<KeptFleet, 'look' | 'forget'> = new KeptFleet(store.read),
  ) {
    this.ages = new PhaseAges(clock);
    this.decisions = new DecisionLog(epoch);
  }

  /** One cycle. A plan that cannot be committed does not keep the others from being so. */
  async run(signal: AbortSignal): Promise<void> {
    const begunAtMs = performance.now();
    const fleet = await this.kept.look();
    const errors = fleet === this.settled ? this.stay() : await this.bringForward(fleet, signal);
    this.metrics.scheduled((performance.now() - begunAtMs) / 1_000);
    if (errors.length > 0) throw errors[0];
  }

  /** Who counts cycles goes by the list being another one. */
  private stay(): readonly unknown[] {
    this.serving?.tell([...this.wants]);
    return [];
  }

  private async bringForward(fleet: Fleet, signal: AbortSignal): Promise<readonly unknown[]> {
    this.settled = null;
    const read = this.ages.apply({ ...fleet, nowMs: this.clock.nowMs(), failedIn: new Map() });
    const snapshot: FleetSnapshot = { ...read, failedIn: this.failures.update(read) };
    const plans = this.planner.plan(snapshot);
    this.wants = servingWantsOf(snapshot, plans);
    this.serving?.tell(this.wants);
    const failed: unknown[] = [];
    const outcomes = new Set<Outcome>();
    for (const plan of plans) {
      if (signal.aborted) return failed;
      const outcome = this.commit(snapshot, plan).catch((error: unknown): Outcome => {
        failed.push(error);
        return 'failed';
      });
      outcomes.add(await outcome);
    }
    outcomes.delete('idle');
    const isLasting = !isTimeBound(snapshot) && snapshot.failedIn.size === 0;
    if (outcomes.size === 0 && isLasting) this.settled = fleet;
    this.doubt(outcomes);
    return failed;
  }

  /** What is refused again and again may be told wrongly here. */
  private doubt(outcomes: ReadonlySet<Outcome>): void {
    this.refusals = outcomes.has('refused') ? this.refusals + 1 : 0;
    if (this.refusals < REFUSALS_MAX) return;
    this.kept.forget();
    this.refusals = 0;
  }

  private async commit(snapshot: FleetSnapshot, plan: DeploymentPlan): Promise<Outcome> {
    const decision = await this.decisions.decide(this.store.read, snapshot, plan);
    const { deletedAt } = snapshot.deployments.find(({ id }) => id === plan.deploymentId)!;
    const isIdle = plan.assign.length + plan.drain.length + plan.remove.length === 0;
    const isOver =
      deletedAt !== null && !snapshot.placements.some((placement) => placement.deploymentId === plan.deploymentId);
    if (isIdle && !isOver && decision === null) return 'idle';
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
    const isWhole = applied.rejected.length === 0 && applied.drained === plan.drain.length;
    return isWhole && applied.removed === plan.remove.length ? 'taken' : 'refused';
  }
}
