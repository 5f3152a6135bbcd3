/**
 * The installation's clock, on a real database: what control planes with wrong wall clocks write and give each other is by
 * it alone (R22). It only ever goes ahead here, from test to test.
 */
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_TENANT_ID, type Rows } from '#domain';
import { Authentication } from '../../apps/control-plane/src/auth/authentication.ts';
import { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { PublicAddress } from '../../apps/control-plane/src/installation/settings.ts';
import { LeaderClock } from '../../apps/control-plane/src/leader/leader-clock.ts';
import { changeVersion } from '../../apps/control-plane/src/rollouts/version-change.ts';
import { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { JobsWorld } from './jobs.fixture.ts';
import { aPlacement, aVersion, DIGEST, insertCluster, insertDeployment, NOW } from './store.fixture.ts';
import { atWrongClock } from './wrong-clock.fixture.ts';

/** Of one subject, by the store. */
const DECISIONS_KEPT = 50;
const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const SIGNING_KEY = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const secrets = new Secrets({ pepper: 'p'.repeat(43), blobSigningKey: SIGNING_KEY });
const owner = { tenantId: DEFAULT_TENANT_ID, keyId: 'k', name: 'key:owner', role: 'owner' } as const;

let world: JobsWorld;
beforeAll(async () => {
  world = await JobsWorld.start();
});
afterAll(() => world?.stop());

const read = () => world.store.read.clock.read();

/** For everybody, whatever their wall clocks say. */
async function pass(seconds: number): Promise<void> {
  const { aheadMs } = await read();
  await world.store.transaction((rows) => rows.clock.keepAhead(world.epoch, aheadMs + seconds * 1_000));
}

describe('the installation’s clock', () => {
  it('is the database’s, and so much ahead as the leader says', async () => {
    const before = await read();
    await pass(HOUR_S);
    const after = await read();
    expect(after.aheadMs - before.aheadMs).toBe(HOUR_S * 1_000);
    expect(after.at.getTime() - before.at.getTime()).toBeGreaterThanOrEqual(HOUR_S * 1_000);
  });

  it('of a transaction is not that of its beginning', async () => {
    const { aheadMs } = await read();
    const [first, second] = await world.store.transaction(async (rows) => {
      const before = await rows.clock.now();
      await rows.clock.keepAhead(world.epoch, aheadMs + 5_000);
      return [before, await rows.clock.now()];
    });
    expect(second!.getTime()).toBeGreaterThanOrEqual(first!.getTime() + 5_000);
  });

  it('takes no word of an older epoch, nor of one that was never given', async () => {
    const { aheadMs } = await read();
    for (const epoch of [world.epoch - 1, world.epoch + 1]) {
      await world.store.transaction((rows) => rows.clock.keepAhead(epoch, 0));
    }
    expect((await read()).aheadMs).toBe(aheadMs);
  });

  it('R22: goes on when the database’s own goes back by ten minutes, also in the next term', async () => {
    const { store, epoch } = world;
    // As the leader sees it: all else went on by ten minutes.
    let wentOnMs = 0;
    const clock = await LeaderClock.begin(store, epoch, { nowMs: () => performance.now() + wentOnMs });
    const { aheadMs } = await read();
    wentOnMs = 10 * MINUTE_S * 1_000;
    await clock.follow();
    const next = await LeaderClock.begin(store, epoch);
    const apartMs = [(await read()).at.getTime(), next.nowMs()].map((ms) => Math.abs(ms - clock.nowMs()));
    expect(Math.max(...apartMs)).toBeLessThan(MINUTE_S * 1_000);
    expect(Math.round(((await read()).aheadMs - aheadMs) / (MINUTE_S * 1_000))).toBe(10);
  });
});

describe('R22: what one control plane gives and another one takes, with clocks 20 minutes apart', () => {
  const at = <Result>(minutes: number, work: () => Promise<Result>) => atWrongClock(minutes * MINUTE_S * 1_000, work);

  it.each([
    [-10, 10],
    [10, -10],
  ])(
    'a token for blobs of one %i minutes off is known to one %i minutes off, until it is over',
    async (gives, takes) => {
      const address = new PublicAddress();
      address.announce('http://127.0.0.1:1');
      const tokens = new BlobTokens(secrets, world.store, address, world.blobs);
      const { id } = await insertCluster(world.store);
      const { token, expiresInSeconds } = await at(gives, () => tokens.issue(id, []));
      const judge = () => at(takes, () => tokens.judge(`Bearer ${token}`, DIGEST));
      await pass(expiresInSeconds - 20);
      const before = await judge();
      await pass(22);
      expect([before, await judge()]).toEqual(['not-granted', 'unknown']);
    },
  );

  it.each([-10, 10])('a key is good until it expires, for one %i minutes off', async (minutes) => {
    const authentication = new Authentication(world.store, secrets);
    const { token, publicId, secretHash } = secrets.mint('atoll');
    const { tenantId, role } = owner;
    const createdAt = await world.store.read.clock.now();
    const expiresAt = new Date(createdAt.getTime() + 100_000);
    const limits = { offlineHash: null, models: null, expiresAt, revokedAt: null, createdAt };
    await world.store.transaction((rows) =>
      rows.apiKeys.insert({ id: v7(), tenantId, name: publicId, publicId, secretHash, role, ...limits }),
    );
    const isTaken = async () => {
      authentication.forget();
      return (await at(minutes, () => authentication.authenticate(`Bearer ${token}`))) !== null;
    };
    await pass(80);
    const before = await isTaken();
    await pass(22);
    expect([before, await isTaken()]).toEqual([true, false]);
  });
});

/** By a process with such a wall clock. */
const by = (wrongByMinutes: number, work: (rows: Rows) => Promise<unknown>) =>
  atWrongClock(wrongByMinutes * MINUTE_S * 1_000, () => world.store.transaction(work));

describe('R22: what was written last stands first, by whichever process', () => {
  it('of the events of a job', async () => {
    const { id: jobId, tenantId } = await world.submit();
    const event = (...kinds: string[]) =>
      kinds.map((kind) => ({ tenantId, jobId, attemptId: null, kind, message: '' }));
    await by(10, (rows) => rows.jobEvents.add(event('First', 'Second')));
    await by(-10, (rows) => rows.jobEvents.add(event('Third', 'Fourth', 'Fifth')));
    expect(await world.events({ id: jobId })).toEqual(['First', 'Second', 'Third', 'Fourth', 'Fifth']);
  });

  it('of the audit log', async () => {
    const entry = (action: string) => {
      const { tenantId, name: actor } = owner;
      return { tenantId, actor, action, targetKind: 'job', targetId: 'j', detail: {} };
    };
    await by(10, (rows) => rows.audit.add(entry('first')));
    await by(-10, (rows) => rows.audit.add(entry('second')));
    const listed = await world.store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 2 });
    expect(listed.map(({ action }) => action)).toEqual(['second', 'first']);
  });

  it('of the decisions of leaders, of which the older ones are dropped', async () => {
    const { id: subjectId } = await world.submit();
    const decide = (epoch: number, wrongByMinutes: number) =>
      by(wrongByMinutes, (rows) =>
        rows.decisions.insert({
          ...{ id: v7({ msecs: Date.now() }), subjectKind: 'job', subjectId, epoch, decidedAt: NOW },
          ...{ inputsHash: DIGEST, candidates: [], outcome: 'it waits', detail: null },
        }),
      );
    for (let count = 0; count < DECISIONS_KEPT; count += 1) await decide(1, 10);
    await decide(2, -10);
    const kept = await world.store.read.decisions.newest(subjectId, 100);
    expect([kept.length, kept[0]!.epoch]).toEqual([DECISIONS_KEPT, 2]);
    expect((await world.store.read.decisions.newestOf([subjectId])).map(({ epoch }) => epoch)).toEqual([2]);
  });

  it('of the rollouts of a deployment', async () => {
    const { store } = world;
    const deployment = await insertDeployment(store);
    const { id: clusterId } = await insertCluster(store);
    await store.transaction((rows) => rows.placements.insert([aPlacement(deployment, clusterId)]));
    const changes: string[] = [];
    for (const wrongByMinutes of [10, -10]) {
      const { id: toVersionId } = await store.transaction((rows) => rows.versions.insert(aVersion(deployment.modelId)));
      const wanted = { toVersionId, policy: deployment.rollout, ending: { phase: 'Superseded', reason: '' } } as const;
      await by(wrongByMinutes, (rows) => changeVersion(rows, deployment, wanted));
      changes.unshift(toVersionId);
    }
    const newest = await store.read.rollouts.ofDeployment(deployment.id, 2);
    expect(newest.map(({ toVersionId }) => toVersionId)).toEqual(changes);
  });
});
