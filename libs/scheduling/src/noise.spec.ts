/** A version change while clusters fall silent for moments, replicas take their time, and some never become Ready. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ClusterPhase, Placement, ReplicaReport } from '#domain';
import { cluster, deployment, fleet, type PlacedReplica, placed } from './fleet.builders.ts';
import type { DeploymentPlan } from './plan.ts';
import { planFleet } from './plan-deployment.ts';

interface World {
  readonly wanted: number;
  readonly clusters: number;
  /** Devices a cluster: room for old and new side by side, or not. */
  readonly devices: number;
  /** One a cluster and round, in turn. */
  readonly phases: readonly ClusterPhase[];
  /** Whether a replica makes progress, one a replica and round, in turn. */
  readonly progress: readonly boolean[];
  readonly fails: readonly boolean[];
}

const worldArbitrary = fc.record({
  wanted: fc.integer({ min: 1, max: 4 }),
  clusters: fc.integer({ min: 1, max: 4 }),
  devices: fc.integer({ min: 1, max: 8 }),
  phases: fc.array(fc.constantFrom<ClusterPhase>('Ready', 'Ready', 'Suspect', 'Unknown'), {
    minLength: 5,
    maxLength: 9,
  }),
  progress: fc.array(fc.boolean(), { minLength: 3, maxLength: 7 }),
  fails: fc.array(fc.constantFrom(false, false, false, true), { minLength: 3, maxLength: 7 }),
});

const STEPS: readonly (ReplicaReport['phase'] | null)[] = [null, 'Fetching', 'Starting', 'Ready'];

class Fleet {
  private readonly replicas = new Map<string, PlacedReplica>();
  private made = 0;

  constructor(private readonly world: World) {}

  get placements(): readonly Placement[] {
    return [...this.replicas.values()].map(({ placement }) => placement);
  }

  state(): string {
    return JSON.stringify([...this.replicas.values()]);
  }

  running(): string[] {
    return [...this.replicas.values()].filter(({ says }) => says === 'Ready').map(({ placement }) => placement.id);
  }

  /** `round` null: everything is well. */
  plan(versionId: string, round: number | null): DeploymentPlan {
    const { clusters, devices, phases, wanted } = this.world;
    const states = Array.from({ length: clusters }, (_, index) =>
      cluster(`c${index}`, {
        devices,
        phase: round === null ? 'Ready' : phases[(round * clusters + index) % phases.length]!,
        phaseSecondsAgo: 5,
      }),
    );
    const subject = deployment('chat', { replicas: wanted, versionId });
    return planFleet(fleet({ clusters: states, deployments: [subject], placed: [...this.replicas.values()] }))[0]!;
  }

  commit(plan: DeploymentPlan): void {
    for (const { placementId } of plan.remove) this.replicas.delete(placementId);
    for (const { placementId } of plan.drain) {
      const replica = this.replicas.get(placementId)!;
      this.replicas.set(placementId, { ...replica, placement: { ...replica.placement, phase: 'Draining' } });
    }
    for (const { clusterId, versionId } of plan.assign) {
      this.made += 1;
      const id = `r${String(this.made).padStart(4, '0')}`;
      this.replicas.set(id, placed(id, 'chat', clusterId, { versionId, says: null, createdSecondsAgo: -this.made }));
    }
  }

  /** Agents do what they are told, some of them slowly. */
  live(round: number | null): void {
    const { progress, fails } = this.world;
    for (const [index, [id, replica]] of [...this.replicas].entries()) {
      const isMoving = round === null || progress[(round * 3 + index) % progress.length]!;
      const isFailing = round !== null && fails[(round + index) % fails.length]!;
      if (!isMoving) continue;
      this.replicas.set(id, { ...replica, says: this.next(replica, isFailing) });
    }
  }

  /** A failed one is started again. */
  private next({ placement, says }: PlacedReplica, isFailing: boolean): ReplicaReport['phase'] | null {
    if (placement.phase === 'Draining') return 'Stopped';
    if (says === 'Ready') return says;
    if (isFailing) return 'Failed';
    return STEPS[Math.min(STEPS.indexOf(says) + 1, STEPS.length - 1)]!;
  }
}

function settle(fleetOf: Fleet, versionId: string): void {
  for (let round = 0; round < 80; round += 1) {
    const plan = fleetOf.plan(versionId, null);
    const isIdle = plan.assign.length + plan.drain.length + plan.remove.length === 0;
    fleetOf.commit(plan);
    const before = fleetOf.state();
    fleetOf.live(null);
    if (isIdle && fleetOf.state() === before) return;
  }
  throw new Error('still moving after 80 rounds');
}

describe('a rollout in a noisy fleet', () => {
  it('R7 what runs is drained only when enough run without it, and it comes to rest when the noise ends', () => {
    fc.assert(
      fc.property(worldArbitrary, (world) => {
        const here = new Fleet(world);
        settle(here, 'v1');
        const able = here.running().length;
        for (let round = 0; round < 30; round += 1) {
          const plan = here.plan('v2', round);
          const running = new Set(here.running());
          const going = plan.drain.filter(
            ({ placementId, reason }) => running.has(placementId) && !reason.includes('in place'),
          );
          const draining = here.placements.filter(({ id, phase }) => phase === 'Draining' && running.has(id)).length;
          if (going.length > 0)
            expect(running.size - draining - going.length).toBeGreaterThanOrEqual(Math.min(able, world.wanted));
          here.commit(plan);
          here.live(round);
        }
        settle(here, 'v2');
        expect(here.placements.map(({ versionId }) => versionId)).toEqual(Array(able).fill('v2'));
        expect(here.running().length).toBe(able);
      }),
      { numRuns: 150 },
    );
  });
});
