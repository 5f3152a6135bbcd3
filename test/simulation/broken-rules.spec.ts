/** The simulator can fail: each rule that is broken on purpose is found within a hundred seeds, by its own check. */
import { describe, expect, it } from '@jest/globals';
import { type DesiredState, reconcileCluster } from '#domain';
import { FleetLiveness } from '../../apps/control-plane/src/federation/fleet-liveness.ts';
import type { AgentRules, Keeper } from './agent.ts';
import { PRODUCTION, type Rules, simulate } from './fleet.ts';

const SEEDS_MAX = 100;

/** Takes whatever document comes, in whatever order. */
const withoutFence: AgentRules['makeKeeper'] = ({ document, request, apply }) => {
  let state: DesiredState | null = null;
  const take = (next: DesiredState) => {
    const before = state;
    state = next;
    apply(next, before);
  };
  const position = () => ({ epoch: state?.epoch ?? 0, revision: state?.revision ?? 0 });
  const keeper: Keeper = {
    get state() {
      return state;
    },
    get position() {
      return position();
    },
    open: async () => {
      const stored = await document.read();
      if (stored !== null) take(stored);
    },
    hinted: () => void keeper.fetch(),
    fetch: async () => {
      const answer = (await request(position()).catch(() => null)) as { state?: DesiredState | null } | null;
      if (answer?.state == null || JSON.stringify(answer.state) === JSON.stringify(state)) return;
      await document.write(answer.state as never);
      take(answer.state);
    },
  };
  return keeper;
};

/** Starts what is wanted before its version is here. */
const impatient: AgentRules['reconcile'] = (desired, local, nowMs) =>
  reconcileCluster(desired, { ...local, heldDigests: new Set(desired.versions.map(({ digest }) => digest)) }, nowMs);

/** Forgets what it runs, and so starts it again beside itself. */
const forgetful: AgentRules['reconcile'] = (desired, local, nowMs) =>
  reconcileCluster(desired, { ...local, replicas: local.replicas.filter(({ phase }) => phase !== 'Starting') }, nowMs);

/** Stops what its document names but has not held yet: a restart is enough to lose everything. */
const cautious: AgentRules['reconcile'] = (desired, local, nowMs) => {
  const replicas = desired.replicas.filter(({ versionDigest }) => local.heldDigests.has(versionDigest));
  return reconcileCluster({ ...desired, replicas }, local, nowMs);
};

/** Takes its own sleep, and its own lost link, for the silence of others. */
class SelfCertain extends FleetLiveness {
  override blind(): void {}
  override tick(): void {}
}

const { agent, database } = PRODUCTION;

describe('R19: a broken rule is found', () => {
  it.each<[string, RegExp, Partial<Rules>]>([
    ['an agent without the fence', /^invariant 4: /, { agent: { ...agent, makeKeeper: withoutFence } }],
    ['an agent that starts before it holds', /^invariant 5: /, { agent: { ...agent, reconcile: impatient } }],
    ['an agent that starts what runs', /^R5: /, { agent: { ...agent, reconcile: forgetful } }],
    ['an agent that stops what it was not told to', /^R5, invariant 7: /, { agent: { ...agent, reconcile: cautious } }],
    [
      'a store that takes an old leader’s writes',
      /^R11, invariant 4: /,
      { database: { ...database, checksEpoch: false } },
    ],
    [
      'an observer that trusts itself',
      /^R6: /,
      { makeLiveness: (world) => new SelfCertain({ nowMs: () => world.nowMs }) },
    ],
  ])(
    '%s: %s',
    async (_case, want, broken) => {
      const found: string[] = [];
      for (let seed = 1; seed <= SEEDS_MAX && !found.some((violation) => want.test(violation)); seed += 1) {
        const { violation } = await simulate(seed, { ...PRODUCTION, ...broken });
        if (violation !== null) found.push(violation);
      }
      expect(found.at(-1)).toMatch(want);
    },
    60_000,
  );
});
