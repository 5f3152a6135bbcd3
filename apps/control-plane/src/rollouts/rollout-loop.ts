/**
 * Brings active rollouts forward: read the fleet, decide one step each, commit it. Everything that matters is in the
 * rows, so a new leader goes on where the one before stopped; only what is measured (outcomes, ages) begins anew.
 */
import { Logger } from '@nestjs/common';
import type { Rollout, Store } from '#domain';
import { type FleetSnapshot, type RolloutFacts, type RolloutStep, rolloutFactsOf, stepRollout } from '#scheduling';
import type { AbortKind, ActiveRollout, FederationMetrics } from '../federation/metrics.ts';
import type { OutcomesMemory } from '../federation/outcomes-memory.ts';
import { KeptFleet } from '../leader/kept-fleet.ts';
import type { LeaderClock } from '../leader/leader-clock.ts';
import { PhaseAges } from '../leader/phase-ages.ts';
import { Baselines } from './baselines.ts';
import { SoakClock } from './soak-clock.ts';
import { isPassedBy, supersede, writeStep } from './write-step.ts';

export class RolloutLoop {
  private readonly logger = new Logger('rollouts');
  private readonly ages: PhaseAges;
  private readonly soaks: SoakClock;
  private readonly baselines: Baselines;

  constructor(
    private readonly store: Store,
    private readonly epoch: number,
    outcomes: Pick<OutcomesMemory, 'of'>,
    private readonly metrics: FederationMetrics,
    /** The term's. */
    private readonly clock: Pick<LeaderClock, 'nowMs'>,
    private readonly kept: Pick<KeptFleet, 'look'> = new KeptFleet(store.read),
  ) {
    this.ages = new PhaseAges(clock);
    this.soaks = new SoakClock(clock);
    this.baselines = new Baselines(outcomes);
  }

  /** One look. A rollout that cannot be brought forward does not keep the others from it. */
  async run(signal?: AbortSignal): Promise<void> {
    const active = await this.store.read.rollouts.active();
    const ids = new Set(active.map(({ id }) => id));
    this.soaks.retain(ids);
    this.baselines.retain(ids);
    if (active.length === 0) return this.metrics.rollouts([]);
    const read = await this.kept.look();
    const rollouts = new Map([...read.rollouts].map(([id, rollout]) => [id, this.soaks.apply(rollout)]));
    const snapshot = this.ages.apply({ ...read, rollouts, nowMs: this.clock.nowMs(), failedIn: new Map() });
    this.metrics.rollouts(countedOf(read));
    const failed: unknown[] = [];
    for (const rollout of read.rollouts.values()) {
      if (signal?.aborted) return;
      await this.bringForward(snapshot, rollout).catch((error: unknown) => failed.push(error));
    }
    if (failed.length > 0) throw failed[0];
  }

  private async bringForward(snapshot: FleetSnapshot, rollout: Rollout): Promise<void> {
    const { epoch } = this;
    const facts = rolloutFactsOf(snapshot, rollout.deploymentId, this.compare(snapshot, rollout));
    const deployment = snapshot.deployments.find(({ id }) => id === rollout.deploymentId);
    if (deployment === undefined || facts === null) return;
    if (isPassedBy(rollout, deployment)) {
      await this.store.transaction((rows) => supersede(rows, rollout), { epoch });
      return;
    }
    const step = stepRollout(facts);
    if (step.step === 'wait' && step.reason === rollout.reason) return;
    const decided = { rollout, deployment, step, nowMs: snapshot.nowMs };
    const isWritten = await this.store.transaction((rows) => writeStep(rows, epoch, decided), { epoch });
    if (!isWritten) return;
    if (step.step === 'wave-ready') this.soaks.wrote(rollout.id, new Date(snapshot.nowMs));
    if (step.step === 'abort') this.metrics.rolloutAborted(abortKindOf(facts));
    if (step.step !== 'wait') this.logger.log(`deployment ${deployment.name}: ${step.step}: ${step.reason}`);
  }

  private compare({ placements, clusters, versionDigests }: FleetSnapshot, rollout: Rollout) {
    const { deploymentId, toVersionId } = rollout;
    const ready = new Set(
      clusters.flatMap(({ report }) =>
        (report?.replicas ?? []).filter(({ phase }) => phase === 'Ready').map(({ replicaId }) => replicaId),
      ),
    );
    const isServing = placements.some(
      (placement) =>
        placement.deploymentId === deploymentId && placement.versionId === toVersionId && ready.has(placement.id),
    );
    return this.baselines.compare(rollout, versionDigests, isServing);
  }
}

function countedOf({ rollouts, deployments }: Pick<FleetSnapshot, 'rollouts' | 'deployments'>): ActiveRollout[] {
  const models = new Map(deployments.map(({ id, servedModel }) => [id, servedModel]));
  return [...rollouts.values()].map(({ deploymentId, phase, wave }) => ({
    servedModel: models.get(deploymentId) ?? '',
    phase: phase === 'Paused' ? phase : 'Progressing',
    wave: wave + 1,
  }));
}

/** Which of its reasons made a rollout abort: the one without which it would not have. */
function abortKindOf(facts: RolloutFacts): AbortKind {
  const { outcomes } = facts;
  const isAbort = (changed: Partial<RolloutFacts>): boolean => stepOf({ ...facts, ...changed }) === 'abort';
  if (outcomes === null || isAbort({ outcomes: null })) return 'failed-starts';
  const untimed = { ...outcomes.to, firstByteCounts: outcomes.to.firstByteCounts.map(() => 0) };
  return isAbort({ outcomes: { ...outcomes, to: untimed } }) ? 'error-rate' : 'latency';
}

function stepOf(facts: RolloutFacts): RolloutStep['step'] {
  return stepRollout(facts).step;
}
