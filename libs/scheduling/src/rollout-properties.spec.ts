/**
 * Rollouts in random fleets that live on: steps and plans are committed, agents do what they are told, some slowly, some
 * not at all, clusters fall silent for moments. The rollout is stepped as the leader does.
 */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ClusterPhase, Placement, ReplicaReport, Rollout, RolloutWave } from '#domain';
import { cluster, deployment, fleet, NOW_MS, type PlacedReplica, placed, rollout } from './fleet.builders.ts';
import type { DeploymentPlan } from './plan.ts';
import { planFleet } from './plan-deployment.ts';
import { rolloutFactsOf } from './rollout/facts.ts';
import { type RolloutStep, stepRollout } from './rollout/step.ts';
import type { FleetSnapshot } from './snapshot.ts';

const RUNS = 50;

interface World {
  readonly wanted: number;
  /** Devices of each cluster. */
  readonly devices: readonly number[];
  readonly waves: readonly RolloutWave[];
  readonly isStrict: boolean;
  readonly isCordoned: readonly boolean[];
  /** One a cluster and round, in turn. */
  readonly phases: readonly ClusterPhase[];
  /** Whether a replica makes progress, one a replica and round, in turn. */
  readonly progress: readonly boolean[];
  readonly abortsAt: number | null;
}

const waveArbitrary: fc.Arbitrary<RolloutWave> = fc
  .oneof(
    fc.record({ clusterNames: fc.subarray(['c0', 'c1', 'c2', 'c3', 'c4'], { minLength: 1 }) }),
    fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
  )
  .map((which) => ({ ...which, soakSeconds: 0, pauseAfter: false }));

const worldArbitrary: fc.Arbitrary<World> = fc.record({
  wanted: fc.integer({ min: 1, max: 8 }),
  devices: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }),
  waves: fc.array(waveArbitrary, { minLength: 1, maxLength: 3 }),
  isStrict: fc.boolean(),
  isCordoned: fc.array(fc.constantFrom(false, false, false, true), { minLength: 5, maxLength: 5 }),
  phases: fc.array(fc.constantFrom<ClusterPhase>('Ready', 'Ready', 'Ready', 'Suspect', 'Unknown'), {
    minLength: 5,
    maxLength: 9,
  }),
  progress: fc.array(fc.boolean(), { minLength: 3, maxLength: 7 }),
  abortsAt: fc.option(fc.integer({ min: 0, max: 20 }), { nil: null }),
});

const STEPS: readonly (ReplicaReport['phase'] | null)[] = [null, 'Fetching', 'Starting', 'Ready'];
const isReady = ({ says, placement }: PlacedReplica) => says === 'Ready' && placement.phase === 'Assigned';

class Life {
  readonly replicas = new Map<string, PlacedReplica>();
  active: Rollout | null = null;
  goal = 'v1';
  private made = 0;

  constructor(readonly world: World) {}

  /** `round` null: everything is well. */
  snapshot(round: number | null): FleetSnapshot {
    const { devices, phases, wanted, isCordoned } = this.world;
    const clusters = devices.map((count, index) =>
      cluster(`c${index}`, {
        devices: count,
        phase: round === null ? 'Ready' : phases[(round * devices.length + index) % phases.length]!,
        phaseSecondsAgo: 5,
        cordoned: round !== null && isCordoned[index]!,
      }),
    );
    const subject = deployment('chat', { replicas: wanted, versionId: this.goal });
    const rollouts = this.active === null ? [] : [this.active];
    return fleet({ clusters, deployments: [subject], placed: [...this.replicas.values()], rollouts });
  }

  of(versionId: string): PlacedReplica[] {
    return [...this.replicas.values()].filter(({ placement }) => placement.versionId === versionId);
  }

  begin(): void {
    const { waves, isStrict } = this.world;
    const policy = { waves, abort: null, consistency: isStrict ? ('strict' as const) : ('rolling' as const) };
    this.active = rollout('chat', { wave: -1, policy });
    this.goal = 'v2';
  }

  abort(): void {
    this.active = null;
    this.goal = 'v1';
  }

  step(round: number | null): RolloutStep | null {
    const facts = rolloutFactsOf(this.snapshot(round), 'chat', null);
    if (facts === null || this.active === null) return null;
    const step = stepRollout(facts);
    if (step.step === 'complete') this.active = null;
    else this.active = { ...this.active, ...changeOf(step) };
    return step;
  }

  plan(round: number | null): DeploymentPlan {
    return planFleet(this.snapshot(round))[0]!;
  }

  commit(plan: DeploymentPlan): void {
    for (const { placementId } of plan.remove) this.replicas.delete(placementId);
    for (const { placementId, reason } of plan.drain) {
      const replica = this.replicas.get(placementId)!;
      this.replicas.set(placementId, { ...replica, placement: { ...replica.placement, phase: 'Draining', reason } });
    }
    for (const { clusterId, versionId } of plan.assign) {
      this.made += 1;
      const id = `r${String(this.made).padStart(4, '0')}`;
      this.replicas.set(id, placed(id, 'chat', clusterId, { versionId, says: null, createdSecondsAgo: -this.made }));
    }
  }

  live(round: number | null): void {
    const { progress } = this.world;
    for (const [index, [id, replica]] of [...this.replicas].entries()) {
      const isMoving = round === null || progress[(round * 3 + index) % progress.length]!;
      const { says, placement } = replica;
      const isDraining = placement.phase === 'Draining';
      const next = isDraining ? 'Stopped' : says === 'Ready' ? says : STEPS[STEPS.indexOf(says) + 1]!;
      if (isMoving) this.replicas.set(id, { ...replica, says: next });
    }
  }

  /** Until nothing moves any more, everything being well. */
  settle(): void {
    for (let round = 0; round < 150; round += 1) {
      const step = this.step(null);
      const plan = this.plan(null);
      this.commit(plan);
      const before = JSON.stringify([...this.replicas.values()]);
      this.live(null);
      const isIdle = plan.assign.length + plan.drain.length + plan.remove.length === 0;
      const isOver = step === null || step.step === 'wait';
      if (isIdle && isOver && JSON.stringify([...this.replicas.values()]) === before) return;
    }
    throw new Error('still moving after 150 rounds');
  }
}

function changeOf(step: RolloutStep): Partial<Rollout> {
  switch (step.step) {
    case 'open-wave':
      return { wave: step.wave, openClusterIds: step.clusterIds, isOpenToAll: step.isOpenToAll, waveReadyAt: null };
    case 'wave-ready':
      return { waveReadyAt: new Date(NOW_MS) };
    case 'switch':
      return { isSwitched: true };
    default:
      return {};
  }
}

/** A fleet at rest on v1, then a rollout to v2 through 25 noisy rounds, `look` after each plan and before its commit. */
function rollOut(look: (life: Life, plan: DeploymentPlan, step: RolloutStep | null) => void, runs = RUNS): void {
  fc.assert(
    fc.property(worldArbitrary, (world) => {
      const life = new Life(world);
      life.settle();
      life.begin();
      for (let round = 0; round < 25; round += 1) {
        const step = life.step(round);
        if (round === world.abortsAt) life.abort();
        const plan = life.plan(round);
        look(life, plan, step);
        life.commit(plan);
        life.live(round);
      }
    }),
    { numRuns: runs },
  );
}

const assigned = (life: Life): Placement[] =>
  [...life.replicas.values()].map(({ placement }) => placement).filter(({ phase }) => phase === 'Assigned');

describe('a rollout in any fleet', () => {
  it('never makes more than the surge beyond what is wanted', () => {
    rollOut((life, plan) => {
      const { isStrict, wanted } = life.world;
      const surge = Math.max(1, Math.ceil(wanted / 4));
      const drained = new Set(plan.drain.map(({ placementId }) => placementId));
      const after = assigned(life).filter(({ id }) => !drained.has(id)).length + plan.assign.length;
      expect(after).toBeLessThanOrEqual(isStrict ? 2 * wanted : wanted + surge);
    });
  });

  it('never stops more than one that serves before its replacement does, and that only where both do not fit', () => {
    rollOut((life, plan) => {
      if (life.world.isStrict) return;
      const drained = new Set(plan.drain.map(({ placementId }) => placementId));
      const ready = [...life.replicas.values()].filter(isReady);
      const left = ready.filter(({ placement }) => !drained.has(placement.id)).length;
      const inPlace = plan.drain.filter(({ reason }) => reason.includes('in place'));
      const isOneAtATime = inPlace.length <= 1 && (inPlace.length === 0 || left >= ready.length - 1);
      const needed = Math.min(ready.length, life.world.wanted);
      expect(isOneAtATime && (inPlace.length === 1 || left >= needed)).toBe(true);
    });
  });

  it('never gives the new version to a cluster outside open waves, nor any other version to one within', () => {
    rollOut(({ active, goal }, plan) => {
      for (const { clusterId, versionId } of plan.assign) {
        const isOpen = active === null || active.isOpenToAll || active.openClusterIds.includes(clusterId);
        const isBeforeSwitch = active?.policy.consistency === 'strict' && !active.isSwitched;
        const may = active === null ? [goal] : !isOpen ? ['v1'] : isBeforeSwitch ? ['v1', 'v2'] : ['v2'];
        expect(may).toContain(versionId);
      }
    });
  });

  it('leaves clusters alone that no wave has reached', () => {
    rollOut((life, plan) => {
      const { active } = life;
      if (active === null || active.isOpenToAll) return;
      const isClosed = (clusterId: string) => !active.openClusterIds.includes(clusterId);
      const surplus = assigned(life).length > life.world.wanted;
      if (!surplus) expect(plan.drain.filter(({ clusterId }) => isClosed(clusterId))).toEqual([]);
    });
  });

  it('strict: switches only when as many new ones are ready as old ones serve, and drains none of those before', () => {
    rollOut((life, plan, step) => {
      if (!life.world.isStrict || life.active === null) return;
      const next = life.of('v2').filter(({ placement }) => placement.phase === 'Assigned');
      if (step?.step === 'switch') {
        const olds = life.of('v1').filter(({ placement }) => placement.phase === 'Assigned').length;
        expect(next.filter(isReady).length).toBe(next.length);
        expect(next.length).toBeGreaterThanOrEqual(olds);
      }
      if (!life.active.isSwitched && assigned(life).length - next.length <= life.world.wanted)
        expect(
          plan.drain.filter(({ placementId }) => life.replicas.get(placementId)!.placement.versionId === 'v1'),
        ).toEqual([]);
    });
  });

  it('comes to its end when all is well, with every replica on the new version, or after an abort on the old', () => {
    fc.assert(
      fc.property(worldArbitrary, (world) => {
        const life = new Life(world);
        life.settle();
        const able = assigned(life).length;
        life.begin();
        for (let round = 0; round < 25; round += 1) {
          life.step(round);
          if (round === world.abortsAt) life.abort();
          life.commit(life.plan(round));
          life.live(round);
        }
        life.settle();
        const hasNoRoom = life.active !== null && world.isStrict && !life.active.isSwitched;
        const versions = assigned(life).map(({ versionId }) => versionId);
        if (hasNoRoom) expect(versions.filter((versionId) => versionId === 'v1').length).toBe(able);
        else {
          expect(life.active).toBeNull();
          expect(versions).toEqual(Array(able).fill(life.goal));
          expect(life.replicas.size).toBe(able);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('stays where it is when all is well: each cluster has as many replicas after as before', () => {
    fc.assert(
      fc.property(worldArbitrary, (world) => {
        const life = new Life({ ...world, isStrict: false });
        life.settle();
        const spread = () =>
          JSON.stringify(
            Object.entries(Object.groupBy(assigned(life), ({ clusterId }) => clusterId))
              .map(([id, all]) => [id, all!.length])
              .sort(),
          );
        const before = spread();
        fc.pre(assigned(life).length > 1);
        life.begin();
        life.settle();
        expect(spread()).toBe(before);
      }),
      { numRuns: RUNS },
    );
  });
});
