/** What the leader keeps of the fleet, against what is read anew. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Rows } from '#domain';
import { propertyRuns } from '#testing';
import { type Fleet, KeptFleet } from '../../apps/control-plane/src/leader/kept-fleet.ts';
import { readSchedulingSnapshot } from '../../apps/control-plane/src/leader/snapshot.ts';
import { CHANGE_NAMES, CHANGES, FleetRows } from './fleet-changes.fixture.ts';

let fleet: FleetRows;
beforeAll(async () => {
  fleet = await FleetRows.start();
});
afterAll(() => fleet.stop());

const kept = (rows: Rows = fleet.read) => new KeptFleet(rows);
const change = (name: keyof typeof CHANGES, at = 0) => CHANGES[name](fleet, at);

/** All as one that keeps nothing reads it. How busy devices are is of no account. */
async function expectAsRead(seen: Fleet, of: FleetRows = fleet): Promise<void> {
  const { nowMs: _now, failedIn: _failed, ...want } = await readSchedulingSnapshot(of.read);
  expect(withoutUse(seen)).toEqual(withoutUse(want));
}

function withoutUse(of: Fleet): unknown {
  const clusters = of.clusters.map(({ cluster, report }) => {
    const nodes = report?.nodes.map((node) => ({
      ...node,
      devices: node.devices.map(({ utilisation: _use, ...device }) => device),
    }));
    return { cluster, report: report && { ...report, nodes } };
  });
  return { ...of, clusters };
}

describe('the fleet that the leader keeps', () => {
  it('is what would be read anew, whatever happens between looks; what was given out stays as it was', async () => {
    const steps = fc.array(
      fc.record({
        name: fc.constantFrom(...CHANGE_NAMES),
        at: fc.nat(50),
        looks: fc.constantFrom('nobody', 'often', 'both'),
      }),
      { minLength: 60, maxLength: 80 },
    );
    const lives = fc.asyncProperty(steps, async (story) => {
      const own = await FleetRows.start();
      try {
        const [often, seldom] = [kept(own.read), kept(own.read)];
        const given: [Fleet, Fleet][] = [];
        for (const { name, at, looks } of story) {
          await CHANGES[name](own, at);
          for (const reader of { nobody: [], often: [often], both: [often, seldom] }[looks]) {
            const seen = await reader.look();
            await expectAsRead(seen, own);
            given.push([seen, structuredClone(seen)]);
          }
        }
        for (const [seen, copy] of given) expect(seen).toEqual(copy);
      } finally {
        await own.stop();
      }
    });
    await fc.assert(lives, { ...propertyRuns(4, 20), endOnFailure: true });
  });

  it.each(CHANGE_NAMES)('is the same object again when nothing was written: after %s', async (name) => {
    const reader = kept();
    await reader.look();
    await change(name, 1);
    const seen = await reader.look();
    expect(await reader.look()).toBe(seen);
  });

  it.each<[keyof typeof CHANGES, readonly (keyof Fleet)[]]>([
    ['reportUse', []],
    ['tellOfJob', []],
    ['writeDocument', []],
    ['report', ['clusters']],
    ['scale', ['deployments']],
    ['startJob', ['reservations']],
    ['place', ['placements']],
    ['deploy', ['deployments', 'versionDigests']],
  ])('has other objects only for what changed: %s → %j', async (name, want) => {
    const reader = kept();
    const { length: clusters } = await fleet.read.clusters.all();
    for (let at = 0; at < clusters; at += 1) await change('report', at);
    await change('startJob', 1);
    const before = await reader.look();
    await change(name, 13 * clusters);
    const after = await reader.look();
    const parts = Object.keys(after) as (keyof Fleet)[];
    expect(parts.filter((part) => after[part] !== before[part]).sort()).toEqual([...want].sort());
    expect(after === before).toBe(want.length === 0);
  });

  it('keeps the reservations of clusters in which nothing begins or ends', async () => {
    await change('startJob', 0);
    await change('startJob', 1);
    const reader = kept();
    const before = (await reader.look()).reservations;
    const [attempt] = await fleet.read.attempts.live();
    const touched = new Set(attempt!.tasks.map(({ clusterId }) => clusterId));
    await change('endJob', 0);
    const after = (await reader.look()).reservations;
    for (const [clusterId, held] of before) expect(after.get(clusterId) === held).toBe(!touched.has(clusterId));
  });

  it('answers each of several that ask at once with what was written before it asked', async () => {
    const reader = kept();
    const looks: Promise<number>[] = [];
    const want: number[] = [];
    for (let asked = 0; asked < 5; asked += 1) {
      await change('deploy', asked);
      want.push((await fleet.read.deployments.all()).length);
      looks.push(reader.look().then(({ deployments }) => deployments.length));
    }
    const seen = await Promise.all(looks);
    expect(seen.every((count, asked) => count >= want[asked]!)).toBe(true);
    await expectAsRead(await reader.look());
  });
});

/** Table → the read of it that fails. */
const READS = {
  changes: 'look',
  clusters: 'all',
  placements: 'live',
  deployments: 'all',
  rollouts: 'active',
  observations: 'findAll',
  attempts: 'findAll',
  jobs: 'nominated',
  versions: 'findAll',
  desired: 'revisions',
} as const;

describe('a read that fails in the middle of a look', () => {
  it.each(Object.entries(READS))('leaves all as it was, and is made again: %s.%s', async (table, method) => {
    const faults = { isCut: false };
    const reader = kept(cutting(fleet.read, table as keyof typeof READS, method, faults));
    const before = await reader.look();
    const copy = structuredClone(before);
    for (const name of ['join', 'deploy', 'place', 'drainReplica', 'rollOut', 'startJob', 'promise'] as const)
      await change(name, 5);
    for (const at of [0, 1, 2]) await change('report', at);
    faults.isCut = true;
    await expect(reader.look()).rejects.toThrow('cut');
    expect(before).toEqual(copy);
    faults.isCut = false;
    const after = await reader.look();
    await expectAsRead(after);
    expect(after).not.toEqual(before);
  });
});

function cutting(rows: Rows, table: keyof typeof READS, method: string, faults: { readonly isCut: boolean }): Rows {
  const whole = rows[table] as unknown as Record<string, (...asked: unknown[]) => Promise<unknown>>;
  const cut = Object.create(whole) as typeof whole;
  cut[method] = async (...asked) => {
    if (faults.isCut) throw new Error('cut');
    return whole[method]!(...asked);
  };
  return { ...rows, [table]: cut } as Rows;
}
