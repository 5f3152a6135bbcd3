/** When a cluster's cron fires, in its time zone. Pure: the time is an argument. */
import type { SyncPolicy } from '#domain';
import { nextFiring } from '../models/cron.ts';

export type Schedule = Pick<SyncPolicy, 'cron' | 'timeZone'>;

/** The first time after `after`; null for one that never fires. One that cannot be read is one cluster's fault only. */
export function nextFire({ cron, timeZone }: Schedule, after: Date): Date | null {
  try {
    return nextFiring(cron, timeZone, after);
  } catch {
    return null;
  }
}

/** Whether it fired after `since` and not after `now`. */
export function hasFired(schedule: Schedule, since: Date, now: Date): boolean {
  const next = nextFire(schedule, since);
  return next !== null && next.getTime() <= now.getTime();
}
