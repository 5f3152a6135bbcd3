// Five-field cron expressions: when they fire, and whether they ever do.

import { Cron } from 'croner';

/** Why an expression is of no use, or null. */
export function cronProblem(expression: string, timeZone = 'UTC'): string | null {
  try {
    return nextFiring(expression, timeZone, new Date()) === null ? 'never fires' : null;
  } catch (error) {
    return `is no cron expression: ${(error as Error).message.replace(/^CronPattern: /, '')}`;
  }
}

/** The first firing after `after`, or null. @throws when the expression cannot be read */
export function nextFiring(expression: string, timeZone: string, after: Date): Date | null {
  return new Cron(expression, { timezone: timeZone, mode: '5-part', paused: true }).nextRun(after);
}

/** Whether it fired after `since` and not after `now`. */
export function hasFired(expression: string, timeZone: string, since: Date, now: Date): boolean {
  const firing = nextFiring(expression, timeZone, since);
  return firing !== null && firing <= now;
}
