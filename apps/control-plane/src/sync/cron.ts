/** When a cron expression fires, in a time zone. Pure: the time is an argument. Daylight saving is the library's care. */
import { Cron } from 'croner';
import type { SyncPolicy } from '#domain';

export type Schedule = Pick<SyncPolicy, 'cron' | 'timeZone'>;

/** Why it can never fire, or null when it can. */
export function cronProblem({ cron, timeZone }: Schedule, now: Date): string | null {
  try {
    return new Cron(cron, { timezone: timeZone }).nextRun(now) === null ? 'never fires; name a day that exists' : null;
  } catch (error) {
    return `is no cron expression: ${error instanceof Error ? error.message : String(error)}`.slice(0, 300);
  }
}

/** The first time after `after`; null for one that never fires or cannot be read. */
export function nextFire({ cron, timeZone }: Schedule, after: Date): Date | null {
  try {
    return new Cron(cron, { timezone: timeZone }).nextRun(after);
  } catch {
    return null;
  }
}

/** Whether it fired after `since` and not after `now`. */
export function hasFired(schedule: Schedule, since: Date, now: Date): boolean {
  const next = nextFire(schedule, since);
  return next !== null && next.getTime() <= now.getTime();
}
