/** What the leader does for budgets: leases end by the database's clock, and what nobody can need any more goes. */
import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Store, utcDay } from '#domain';
import { LeaderService, type Term } from '../leader/leader.service.ts';
import type { LoopOptions } from '../leader/loop.ts';

const EXPIRY_INTERVAL_MS = 60_000;
const EXPIRED_AT_ONCE = 1_000;
const HOUSEKEEPING_INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Request ids, ended leases and accounts of periods that are over: no holder comes back later with its own lease. */
const LEASES_KEPT_MS = 35 * DAY_MS;
/** A year and what it takes to look back on it. */
const TOKEN_USAGE_KEPT_MS = 400 * DAY_MS;

@Injectable()
export class BudgetLoops implements OnModuleInit {
  private readonly logger = new Logger('budgets');

  constructor(
    private readonly store: Store,
    private readonly leader: LeaderService,
  ) {}

  onModuleInit(): void {
    this.leader.addLoops((term) => this.loops(term));
  }

  private loops({ epoch, clock }: Term): LoopOptions[] {
    const onError = (name: string, error: unknown) => this.logger.error(`${name}: ${String(error)}`);
    return [
      { name: 'leases', intervalMs: EXPIRY_INTERVAL_MS, run: () => expireLeases(this.store, epoch), onError },
      {
        name: 'old leases and usage',
        intervalMs: HOUSEKEEPING_INTERVAL_MS,
        run: () => removeOld(this.store, epoch, clock.nowMs()),
        onError,
      },
    ];
  }
}

/** In batches, so that no transaction holds many rows for long. */
export async function expireLeases(store: Store, epoch: number): Promise<void> {
  for (;;) {
    const expired = await store.transaction((rows) => rows.leases.expire(EXPIRED_AT_ONCE), { epoch });
    if (expired < EXPIRED_AT_ONCE) return;
  }
}

export async function removeOld(store: Store, epoch: number, nowMs: number): Promise<void> {
  await store.transaction((rows) => rows.leases.removeOlderThan(new Date(nowMs - LEASES_KEPT_MS)), { epoch });
  await store.transaction((rows) => rows.tokenUsage.removeBefore(utcDay(nowMs - TOKEN_USAGE_KEPT_MS)), { epoch });
}
