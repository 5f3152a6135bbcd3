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

/** Schedule and time → what `nextFire` gave. A third of a millisecond each, and a thousand clusters share a few. */
const fires = new Map<string, Date | null>();
/** At the bound the oldest makes room. */
const FIRES_MAX = 10_000;

/** Whether it fired after `since` and not after `now`. */
export function hasFired(schedule: Schedule, since: Date, now: Date): boolean {
  const key = `${schedule.cron} ${schedule.timeZone} ${since.getTime()}`;
  const known = fires.get(key);
  const next = known === undefined ? nextFire(schedule, since) : known;
  if (known === undefined) {
    if (fires.size >= FIRES_MAX) fires.delete(fires.keys().next().value!);
    fires.set(key, next);
  }
  return next !== null && next.getTime() <= now.getTime();
}
