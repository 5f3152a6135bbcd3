/**
 * The account of device time. A holder (an attempt, a placement) is charged once, when it ends, for the whole time for
 * which it held its devices, split over the UTC days of it; what still runs is added by whoever reads. So a leader that
 * dies charges nothing twice and loses nothing (F12).
 */
import type { DeviceType } from './devices.ts';
import type { QueueUsage } from './tenancy.ts';

const DAY_MS = 86_400_000;
/** Of one charge; what is older than that goes to the first of them. */
const DAYS_MAX = 400;

export interface HeldDevices {
  readonly tenantId: string;
  readonly queueId: string;
  readonly deviceType: DeviceType;
  readonly count: number;
  /** Unix milliseconds. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** `YYYY-MM-DD`, UTC. */
export function utcDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/**
 * An entry a day. A clock that went back charges nothing.
 *
 * @param lostDeviceSeconds of a job's: counted on its last day
 */
export function usageOf(held: HeldDevices, kind: 'job' | 'serving', lostDeviceSeconds = 0): QueueUsage[] {
  const { tenantId, queueId, deviceType, count, toMs } = held;
  const fromMs = Math.max(Math.min(held.fromMs, toMs), toMs - DAYS_MAX * DAY_MS);
  const entries: QueueUsage[] = [];
  for (let at = fromMs; at < toMs || entries.length === 0; ) {
    const end = Math.min(toMs, (Math.floor(at / DAY_MS) + 1) * DAY_MS);
    const deviceSeconds = (count * (end - at)) / 1_000;
    entries.push({
      tenantId,
      queueId,
      deviceType,
      day: utcDay(at),
      jobDeviceSeconds: kind === 'job' ? deviceSeconds : 0,
      servingDeviceSeconds: kind === 'serving' ? deviceSeconds : 0,
      lostDeviceSeconds: end >= toMs ? lostDeviceSeconds : 0,
    });
    at = end;
  }
  return entries;
}

/** The half-life of what a queue used lately, as ties between equal shares are broken by it. */
export const RECENT_USE_HALF_LIFE_MS = DAY_MS;

/** Queue id → device-seconds, each day's counted half as much as the next one's. */
export function recentUseOf(entries: readonly QueueUsage[], nowMs: number): Map<string, number> {
  const recent = new Map<string, number>();
  for (const { queueId, day, jobDeviceSeconds, servingDeviceSeconds } of entries) {
    const ageMs = Math.max(0, nowMs - Date.parse(`${day}T12:00:00Z`));
    const weight = 0.5 ** (ageMs / RECENT_USE_HALF_LIFE_MS);
    recent.set(queueId, (recent.get(queueId) ?? 0) + weight * (jobDeviceSeconds + servingDeviceSeconds));
  }
  return recent;
}
