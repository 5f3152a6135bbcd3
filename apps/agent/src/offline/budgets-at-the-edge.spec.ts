// Charging, leases and journal together on a real disk, with a centre that grants from one budget by a simple rule. What
// the centre's own rules are, the specs of the budgets show.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseReply, LeaseRequest } from '#contracts';
import { type Charge, LeaseKeeper, type StoredLeases, type UsageEvent, UsageJournal } from '#inference';
import { BUDGET_ID, DEPLOYMENT_ID, DIGEST, keyOf, memoryDocument, TurnedClock } from '../../test/offline.builders.ts';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { BudgetCharging } from './budget-charging.ts';
import type { OfflineKey } from './offline-view.ts';

const HOUR = 3_600_000;
const TITLE = 'budget "chat" of 10,000 tokens a day';
const budgeted = keyOf('budgeted', { budgetIds: [BUDGET_ID] }).key;
const free = keyOf('freeaaaa').key;
const asOffline = (key: typeof budgeted): OfflineKey => ({ ...key, secretHash: key.offlineHash });

/** Grants what is asked for while there is something, remembers answers by wish, and counts each event once. */
class Centre {
  readonly asked: LeaseRequest[] = [];
  readonly granted = new Map<string, { leaseId: string; grantedTokens: number }>();
  readonly events = new Map<string, UsageEvent>();
  isAway = false;

  constructor(private limit: number) {}

  answer = async (request: LeaseRequest): Promise<LeaseReply> => {
    if (this.isAway) throw new Error('nobody answers');
    this.asked.push(request);
    const reply: LeaseReply = { grants: [], refusals: [], ended: [] };
    for (const { requestId, budgetId, leaseId, tokens } of request.wishes) {
      const before = this.granted.get(requestId);
      const held = [...this.granted.values()].find((lease) => lease.leaseId === leaseId)?.grantedTokens ?? 0;
      const more = before === undefined ? Math.min(this.limit, Math.max(tokens, 4_000)) : 0;
      const lease = before ?? { leaseId: leaseId ?? uuidv7(), grantedTokens: held + more };
      this.limit -= more;
      if (lease.grantedTokens === 0) {
        reply.refusals.push({ requestId, budgetId, reason: `${TITLE} is spent`, retryAfterSeconds: 60 });
      } else {
        this.granted.set(requestId, lease);
        reply.grants.push({ requestId, budgetId, ...lease, expiresInSeconds: 48 * 3_600 });
      }
    }
    return reply;
  };

  get spent(): number {
    const entries = [...this.events.values()]
      .flatMap(({ entries: all }) => all)
      .filter((each) => each.leaseIds.length > 0);
    return entries.reduce((sum, { promptTokens, completionTokens }) => sum + promptTokens + completionTokens, 0);
  }
}

class Edge {
  journal!: UsageJournal;
  leases!: LeaseKeeper;
  charging!: BudgetCharging;
  readonly clock = new TurnedClock();
  readonly document = memoryDocument<StoredLeases>();
  machineBootId = 'boot-1';
  /** Of agents before this one. */
  readonly ended: UsageJournal[] = [];

  constructor(
    readonly folder: string,
    readonly centre: Centre,
  ) {}

  async start(): Promise<void> {
    const log = pino({ level: 'silent' });
    if (this.journal !== undefined) this.ended.push(this.journal);
    this.journal = new UsageJournal({
      folder: this.folder,
      tell: async (event) => void this.centre.events.set(event.id, event),
      mayTell: () => true,
      isInContact: () => false,
      onSwitch: () => this.leases.snapshot(),
      log,
    });
    this.leases = new LeaseKeeper({
      holder: 'cluster',
      document: this.document,
      journal: this.journal,
      request: this.centre.answer,
      isConnected: () => !this.centre.isAway,
      clock: this.clock,
      machineBootId: this.machineBootId,
      log,
    });
    const contactWords = () => (this.centre.isAway ? '; the centre was last seen 2026-11-30T00:00:00Z' : '');
    this.charging = new BudgetCharging({ ...this, newId: () => uuidv7(), contactWords });
    await this.leases.open(await this.journal.open());
    this.journal.start();
    this.leases.expect([{ budgetId: BUDGET_ID, title: TITLE }]);
  }

  /** Asked until there is nothing more to ask for. */
  async renew(): Promise<void> {
    await this.leases.ask();
    await this.leases.ask();
  }

  async begin(key = budgeted, reservedTokens = 1_000): ReturnType<BudgetCharging['begin']> {
    return this.charging.begin(asOffline(key), {
      ...{ deploymentId: DEPLOYMENT_ID, servedModel: 'tiny', versionDigest: DIGEST },
      ...{ promptTokens: 10, reservedTokens },
    });
  }

  /** True when it was let in; then it came to so many tokens. */
  async serve(tokens: number, key = budgeted): Promise<boolean> {
    const charge = await this.begin(key, Math.max(1, tokens));
    if ('kind' in charge) return false;
    charge.end({ promptTokens: 1, completionTokens: tokens - 1, isEstimated: false });
    return true;
  }

  get left(): number {
    return this.leases.standing()[0]?.leftTokens ?? 0;
  }
}

let folder: TemporaryFolder;
let centre: Centre;
let edge: Edge;
beforeEach(async () => {
  folder = await temporaryFolder();
  centre = new Centre(10_000);
  edge = new Edge(folder.path, centre);
  await edge.start();
});
afterEach(async () => {
  for (const journal of [...edge.ended, edge.journal]) await journal.stop();
  await folder.remove();
});

describe('R4: budgets at the edge', () => {
  it('nothing is spent before a lease is there; then as much as was leased, and told exactly', async () => {
    centre.isAway = true;
    expect(await edge.begin()).toMatchObject({ status: 429, body: { error: { code: 'insufficient_quota' } } });
    centre.isAway = false;
    await edge.renew();
    centre.isAway = true;
    const leased = edge.left;
    let served = 0;
    while (await edge.serve(500)) served += 500;
    expect([leased > 0, served]).toEqual([true, Math.floor(leased / 500) * 500]);
    await edge.journal.seal();
    expect(centre.spent).toBe(served);
  });

  it('a refusal names the budget, and since when the centre was not seen', async () => {
    await edge.renew();
    centre.isAway = true;
    const refusal = await edge.begin(budgeted, 50_000);
    expect(refusal).toMatchObject({ retryAfterSeconds: expect.any(Number) });
    const { message } = (refusal as { body: { error: { message: string } } }).body.error;
    expect(message).toContain(TITLE);
    expect(message).toMatch(/; the centre was last seen 2026-11-30T00:00:00Z\.$/);
  });

  it('what is reserved by many at once is never more than what is left', async () => {
    await edge.renew();
    centre.isAway = true;
    const { left } = edge;
    const begun = await Promise.all(Array.from({ length: 50 }, () => edge.begin(budgeted, 700)));
    expect(begun.filter((each) => !('kind' in each))).toHaveLength(Math.floor(left / 700));
    for (const each of begun) if (!('kind' in each)) each.end(null);
    expect(edge.left).toBe(left);
  });

  it('a wish is asked again under its own id until it is answered', async () => {
    let isLost = true;
    const { answer } = centre;
    const lossy = async (request: LeaseRequest) => {
      const reply = await answer(request);
      if (isLost) throw new Error('the answer was lost');
      return reply;
    };
    centre.answer = lossy;
    await edge.journal.stop();
    await edge.start();
    await edge.renew();
    await edge.journal.stop();
    await edge.start();
    isLost = false;
    await edge.renew();
    const ids = new Set(centre.asked.flatMap(({ wishes }) => wishes.map(({ requestId }) => requestId)));
    expect([ids.size, centre.granted.size, edge.left]).toEqual([1, 1, 4_000]);
  });

  it.each([
    { name: 'stopped in order', isKilled: false },
    { name: 'killed', isKilled: true },
  ])('an agent that is $name knows what it spent: 24 hours with restarts, exact after heal', async ({ isKilled }) => {
    await edge.renew();
    centre.isAway = true;
    const leased = edge.left;
    let want = 0;
    for (let hour = 0; hour < 24; hour += 1) {
      edge.clock.advance(HOUR);
      if (await edge.serve(100)) want += 100;
      const open = await edge.begin(budgeted, 50);
      if (hour % 6 === 5) {
        if (isKilled) await edge.journal.flush();
        else await edge.journal.stop();
        if (!('kind' in open)) want += 50;
        await edge.start();
      } else if (!('kind' in open)) {
        open.end({ promptTokens: 20, completionTokens: 10, isEstimated: false });
        want += 30;
      }
      expect([hour, edge.left]).toEqual([hour, leased - want]);
    }
    centre.isAway = false;
    await edge.journal.seal();
    await until(
      () => centre.spent === want,
      () => `all is told: ${centre.spent} of ${want}`,
    );
    expect(centre.spent).toBeLessThanOrEqual(leased);
  });

  it('R22: a lease ends by this side’s clock, also across a restart of the machine', async () => {
    await edge.renew();
    centre.isAway = true;
    await edge.journal.stop();
    edge.machineBootId = 'boot-2';
    edge.clock.restartAfter(47 * HOUR);
    await edge.start();
    expect(await edge.serve(10)).toBe(true);
    edge.clock.advance(HOUR);
    expect(await edge.serve(10)).toBe(false);
  });

  it('requests of no budget need no lease, and are told without one', async () => {
    centre.isAway = true;
    expect(await edge.serve(100, free)).toBe(true);
    await edge.journal.seal();
    expect([...centre.events.values()].flatMap(({ entries }) => entries)).toMatchObject([
      { keyPublicId: 'freeaaaa', leaseIds: [], requests: 1, promptTokens: 1, completionTokens: 99 },
    ]);
  });

  it('without a journal what is charged is refused with the reason, and what is not goes on', async () => {
    await edge.renew();
    await edge.journal.stop();
    const refusal = await edge.begin(budgeted, 10);
    expect(refusal).toMatchObject({ status: 503, retryAfterSeconds: 30 });
    expect(JSON.stringify(refusal)).toContain('cannot write down what requests cost');
    expect(edge.left).toBe(4_000);
    const charge = (await edge.begin(free)) as Charge;
    charge.end({ promptTokens: 1, completionTokens: 1, isEstimated: false });
  });

  it('an end that comes twice counts once', async () => {
    await edge.renew();
    const charge = (await edge.begin()) as Charge;
    charge.end({ promptTokens: 1, completionTokens: 9, isEstimated: false });
    charge.end({ promptTokens: 1, completionTokens: 9, isEstimated: false });
    charge.end(null);
    await edge.journal.seal();
    expect([centre.spent, edge.left]).toEqual([10, 3_990]);
  });
});
