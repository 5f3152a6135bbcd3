/**
 * People who change their minds while things fail. Each asks over a lossy network, asks again until somebody answered,
 * and keeps in mind what was acknowledged: that is what the fleet must come to, once each (R1, invariant 1).
 */
import {
  DEFAULT_ABORT_RULE,
  type Deployment,
  type DrainMode,
  RefusedError,
  type RolloutPolicy,
  type RolloutWave,
} from '#domain';
import type { ControlPlane } from './control-plane.ts';
import { TENANT } from './table-rows.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

const PATIENCE_MS = 5_000;
const STRICT_PATIENCE_SECONDS = 60;
export const ACTOR = { tenantId: TENANT, keyId: 'operator', name: 'key:operator', role: 'owner' } as const;

export interface Wish {
  readonly name: string;
  replicas: number;
  version: number;
  isDeleted: boolean;
  /** Changes acknowledged since the creation. */
  changes: number;
}

export class Operator {
  readonly wishes = new Map<string, Wish>();
  /** Requests that nobody has acknowledged yet. */
  pending = 0;
  private readonly busy = new Set<string>();
  private created = 0;
  private calmSeconds = 0;

  constructor(
    private readonly world: World,
    private readonly reach: () => ControlPlane | undefined,
    private readonly loseAnswer: () => boolean,
    private readonly tables: () => Tables,
  ) {}

  /** One random change of mind. */
  act(): void {
    const { world } = this;
    const idle = [...this.wishes.values()].filter(({ name, isDeleted }) => !isDeleted && !this.busy.has(name));
    const wish = idle.length === 0 ? undefined : world.pick(idle);
    if (wish === undefined || (this.wishes.size < 5 && world.chance(0.35))) {
      this.create();
      return;
    }
    const dice = world.random();
    if (dice < 0.3) this.scale(wish, world.between(0, 4));
    else if (dice < 0.65) this.rollOut(wish, world.between(1, 3), randomPolicy(world));
    else if (dice < 0.72) this.rollBack(wish);
    else if (dice < 0.78) this.steer(wish.name, 'pause');
    else if (dice < 0.86) this.steer(wish.name, 'resume');
    else if (dice < 0.93) this.remove(wish);
  }

  /** Once the faults are over: drains are undone, paused rollouts go on, strict ones that find no room are taken back. */
  conclude(): void {
    const { rollouts, deployments, clusters } = this.tables();
    this.calmSeconds += 1;
    if (this.calmSeconds % 5 !== 0) return;
    // One that was asked for while the faults stopped may be acknowledged only now.
    for (const { name, drain, phase } of clusters.values())
      if (drain !== null && phase !== 'Left') this.drain(name, null);
    for (const { deploymentId, phase, policy, isSwitched } of rollouts.values()) {
      const wish = this.wishes.get(deployments.get(deploymentId)?.name ?? '');
      if (wish === undefined || this.busy.has(wish.name)) continue;
      if (phase === 'Paused') this.steer(wish.name, 'resume');
      const isStuck = policy.consistency === 'strict' && !isSwitched && this.calmSeconds > STRICT_PATIENCE_SECONDS;
      if (phase === 'Progressing' && isStuck) this.rollBack(wish);
    }
  }

  cordon(clusterName: string, cordoned: boolean): void {
    this.world.say(`operator: ${cordoned ? 'cordon' : 'uncordon'} ${clusterName}`);
    this.untilAnswered(`cluster ${clusterName}`, (plane) =>
      plane.clusters.update(ACTOR, { name: clusterName, ifMatch: undefined }, { cordoned }),
    );
  }

  /** Null: undone. */
  drain(clusterName: string, wanted: { mode: DrainMode; deadlineSeconds: number } | null): void {
    const words = wanted === null ? 'undrain' : `drain (${wanted.mode}, ${wanted.deadlineSeconds} s)`;
    this.world.say(`operator: ${words} ${clusterName}`);
    const target = { name: clusterName, ifMatch: undefined };
    this.untilAnswered(`cluster ${clusterName}`, (plane) =>
      wanted === null ? plane.drains.undo(ACTOR, target) : plane.drains.start(ACTOR, target, wanted),
    );
  }

  removeCluster(clusterName: string): void {
    this.world.say(`operator: remove cluster ${clusterName}`);
    this.untilAnswered(`cluster ${clusterName}`, (plane) =>
      plane.clusters.remove(ACTOR, { name: clusterName, ifMatch: undefined }),
    );
  }

  /** What is not as it was acknowledged; empty when all is. A rollout that took itself back is as it should be. */
  complaints(): string[] {
    const { deployments, versions, rollouts } = this.tables();
    const rows = new Map([...deployments.values()].map((row) => [row.name, row]));
    const numberOf = (versionId: string) => versions.get(versionId)?.number;
    return [...this.wishes.values()].flatMap((wish) => {
      const row = rows.get(wish.name);
      if (wish.isDeleted) return row === undefined || row.deletedAt !== null ? [] : [`${wish.name} is not deleted`];
      if (row === undefined) return [`${wish.name} is lost`];
      const has = { replicas: row.replicas, version: numberOf(row.versionId), changes: this.changesOf(row) };
      const { replicas, version, changes } = wish;
      const isTakenBack = [...rollouts.values()].some(
        ({ deploymentId, phase, fromVersionId, toVersionId }) =>
          deploymentId === row.id &&
          phase === 'Aborted' &&
          fromVersionId === row.versionId &&
          numberOf(toVersionId) === version,
      );
      const isSame = has.replicas === replicas && has.changes === changes;
      return isSame && (has.version === version || isTakenBack)
        ? []
        : [
            `${wish.name} is ${JSON.stringify(has)}, acknowledged was ${JSON.stringify({ replicas, version, changes })}`,
          ];
    });
  }

  /** Changes that people made: rollouts that took themselves back are the control plane's own. */
  private changesOf({ id, revision }: Deployment): number {
    return revision - 1 - this.takenBack(id);
  }

  private takenBack(deploymentId: string): number {
    const entries = [...this.tables().audit.values()];
    return entries.filter(({ action, targetId }) => action === 'rollouts.abort' && targetId === deploymentId).length;
  }

  private create(): void {
    const { world } = this;
    this.created += 1;
    const wish = {
      name: `d${this.created}`,
      replicas: world.between(1, 3),
      version: world.between(1, 3),
      isDeleted: false,
      changes: 0,
    };
    const { name, replicas, version } = wish;
    const claim = {
      deviceType: 'cpu',
      count: world.between(1, 2),
      schedulingPolicy: { topologyScope: 'node' },
    } as const;
    const disconnect = {
      lostAfterSeconds: world.pick([15, 45, 90]),
      replace: world.chance(0.2) ? ('never' as const) : ('elsewhere' as const),
      reconcile: world.pick(['prefer-central', 'prefer-edge'] as const),
    };
    const wanted = { name, model: 'chat', version, replicas, claim, selector: {}, spread: null, disconnect };
    world.say(
      `operator: create ${name} v${version} ×${replicas}, claim ${claim.count}, lost after ${disconnect.lostAfterSeconds} s, ${disconnect.replace}`,
    );
    this.busy.add(name);
    this.untilAnswered(
      name,
      (plane) => plane.deployments.create(ACTOR, wanted as never, `create-${name}`),
      () => {
        this.wishes.set(name, wish);
        this.busy.delete(name);
      },
    );
  }

  private scale(wish: Wish, replicas: number): void {
    this.world.say(`operator: scale ${wish.name} to ${replicas}`);
    this.demand(
      wish,
      (plane, ifMatch) => plane.deployments.update(ACTOR, { name: wish.name, ifMatch }, { replicas } as never),
      () => {
        wish.replicas = replicas;
        wish.changes += 1;
      },
    );
  }

  private rollOut(wish: Wish, version: number, policy: RolloutPolicy): void {
    const waves = policy.waves.map(({ soakSeconds, pauseAfter, ...which }) => JSON.stringify(which)).join(' → ');
    this.world.say(`operator: roll out v${version} of ${wish.name}, ${policy.consistency}: ${waves}`);
    this.demand(
      wish,
      (plane, ifMatch) => plane.rollouts.start(wish.name, ifMatch, version, policy),
      () => {
        wish.version = version;
        wish.changes += 1;
      },
    );
  }

  private rollBack(wish: Wish): void {
    this.world.say(`operator: roll ${wish.name} back`);
    this.demand(
      wish,
      (plane, ifMatch) => plane.rollouts.rollBack(wish.name, ifMatch),
      () => {
        wish.changes += 1;
        const row = [...this.tables().deployments.values()].find(({ name }) => name === wish.name);
        wish.version = this.tables().versions.get(row?.versionId ?? '')?.number ?? wish.version;
      },
    );
  }

  /** Repeated or late it may undo what was said since, which harms nobody: it changes no intent. */
  private steer(name: string, word: 'pause' | 'resume'): void {
    this.world.say(`operator: ${word} the rollout of ${name}`);
    this.untilAnswered(name, (plane) => plane.rollouts[word](name));
  }

  private remove(wish: Wish): void {
    this.world.say(`operator: delete ${wish.name}`);
    this.demand(
      wish,
      (plane, ifMatch) => plane.deployments.remove(ACTOR, { name: wish.name, ifMatch }),
      () => {
        wish.isDeleted = true;
      },
    );
  }

  /** With If-Match, so that a request that was lost and comes late does not undo a later one. */
  private demand(wish: Wish, ask: (plane: ControlPlane, ifMatch: string) => Promise<unknown>, done: () => void): void {
    this.busy.add(wish.name);
    const rowOf = () => [...this.tables().deployments.values()].find(({ name }) => name === wish.name);
    this.untilSent(
      wish.name,
      () => {
        const row = rowOf();
        const takenBack = row === undefined ? 0 : this.takenBack(row.id);
        const ifMatch = `"${1 + wish.changes + takenBack}"`;
        return (plane) =>
          ask(plane, ifMatch).catch((error: unknown) => {
            const now = rowOf();
            // A rollout took itself back while this was under way: nothing was done, and it is asked again.
            const isOvertaken = now !== undefined && this.takenBack(now.id) !== takenBack;
            if (isOvertaken && this.changesOf(now) === wish.changes) throw new Error('overtaken');
            throw error;
          });
      },
      () => {
        this.busy.delete(wish.name);
        done();
      },
    );
  }

  /** Asks again and again until an answer came through. */
  untilAnswered(what: string, ask: (plane: ControlPlane) => Promise<unknown>, done?: () => void): void {
    this.untilSent(what, () => ask, done);
  }

  /** `prepare` makes the request when it is sent; it may be read much later. */
  private untilSent(
    what: string,
    prepare: () => (plane: ControlPlane) => Promise<unknown>,
    done: () => void = () => undefined,
  ): void {
    this.pending += 1;
    let isDone = false;
    let attempts = 0;
    const acknowledged = () => {
      if (isDone || this.loseAnswer()) return;
      isDone = true;
      this.pending -= 1;
      done();
    };
    const attempt = () => {
      if (isDone) return;
      attempts += 1;
      this.world.after(PATIENCE_MS, null, () => attempt());
      const plane = this.reach();
      if (plane === undefined) return;
      const ask = prepare();
      this.world.after(this.world.between(1, 50), plane, () => {
        const answer = () => this.world.after(this.world.between(1, 50), null, acknowledged);
        ask(plane).then(answer, (error: unknown) => {
          // Asked before and done: only the answer had been lost.
          const isRepeat =
            error instanceof RefusedError && ['precondition', 'not-found', 'conflict'].includes(error.refusal.refused);
          if (isRepeat && attempts > 1) answer();
          else if (isRepeat)
            this.world.broken(`invariant 1: ${what} is refused at its first request: ${JSON.stringify(error.refusal)}`);
        });
      });
    };
    attempt();
  }
}

function randomPolicy(world: World): RolloutPolicy {
  const wave = (): RolloutWave => {
    const which = world.pick<Partial<RolloutWave>>([
      { clusterNames: [`c${world.between(1, 4)}`] },
      { labels: { ring: 'early' } },
      { percent: world.between(1, 100) },
    ]);
    return { ...which, soakSeconds: world.pick([0, 0, 5, 15]), pauseAfter: world.chance(0.15) };
  };
  return {
    waves: Array.from({ length: world.between(1, 3) }, wave),
    abort: world.chance(0.8) ? DEFAULT_ABORT_RULE : null,
    consistency: world.chance(0.25) ? 'strict' : 'rolling',
  };
}
