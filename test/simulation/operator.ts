/**
 * People who change their minds while things fail. Each asks over a lossy network, asks again until somebody answered,
 * and keeps in mind what was acknowledged: that is what the fleet must come to, once each (R1, invariant 1).
 */
import { RefusedError } from '#domain';
import type { ControlPlane } from './control-plane.ts';
import { TENANT } from './table-rows.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

const PATIENCE_MS = 5_000;
const ACTOR = { tenantId: TENANT, keyId: 'operator', name: 'key:operator', role: 'owner' } as const;

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
    if (dice < 0.4) this.change(wish, { replicas: world.between(0, 4) });
    else if (dice < 0.8) this.change(wish, { version: world.between(1, 3) });
    else if (dice < 0.9) this.remove(wish);
  }

  cordon(clusterName: string, cordoned: boolean): void {
    this.world.say(`operator: ${cordoned ? 'cordon' : 'uncordon'} ${clusterName}`);
    this.untilAnswered(`cluster ${clusterName}`, (plane) =>
      plane.clusters.update(ACTOR, { name: clusterName, ifMatch: undefined }, { cordoned }),
    );
  }

  removeCluster(clusterName: string): void {
    this.world.say(`operator: remove cluster ${clusterName}`);
    this.untilAnswered(`cluster ${clusterName}`, (plane) =>
      plane.clusters.remove(ACTOR, { name: clusterName, ifMatch: undefined }),
    );
  }

  /** What is not as it was acknowledged; empty when all is. */
  complaints(): string[] {
    const rows = new Map([...this.tables().deployments.values()].map((row) => [row.name, row]));
    const versions = this.tables().versions;
    return [...this.wishes.values()].flatMap((wish) => {
      const row = rows.get(wish.name);
      if (wish.isDeleted) return row === undefined || row.deletedAt !== null ? [] : [`${wish.name} is not deleted`];
      if (row === undefined) return [`${wish.name} is lost`];
      const has = { replicas: row.replicas, version: versions.get(row.versionId)?.number, changes: row.revision - 1 };
      const { replicas, version, changes } = wish;
      const isSame = has.replicas === replicas && has.version === version && has.changes === changes;
      return isSame
        ? []
        : [
            `${wish.name} is ${JSON.stringify(has)}, acknowledged was ${JSON.stringify({ replicas, version, changes })}`,
          ];
    });
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
      reconcile: world.pick(['prefer-central', 'prefer-edge'] as const),
    };
    const wanted = { name, model: 'chat', version, replicas, claim, selector: {}, disconnect };
    world.say(
      `operator: create ${name} v${version} ×${replicas}, claim ${claim.count}, lost after ${disconnect.lostAfterSeconds} s`,
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

  private change(wish: Wish, change: { replicas?: number; version?: number }): void {
    this.world.say(`operator: change ${wish.name} to ${JSON.stringify(change)}`);
    this.demand(
      wish,
      (plane, ifMatch) => plane.deployments.update(ACTOR, { name: wish.name, ifMatch }, change as never),
      () => {
        Object.assign(wish, change);
        wish.changes += 1;
      },
    );
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
    const ifMatch = `"${1 + wish.changes}"`;
    this.busy.add(wish.name);
    this.untilAnswered(
      wish.name,
      (plane) => ask(plane, ifMatch),
      () => {
        this.busy.delete(wish.name);
        done();
      },
    );
  }

  private untilAnswered(
    what: string,
    ask: (plane: ControlPlane) => Promise<unknown>,
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
