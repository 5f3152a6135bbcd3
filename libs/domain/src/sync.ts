/**
 * How a cluster may sync: its policy, its group of neighbours, and whether its window is open. Pure; `now` is an argument.
 */
import type { Cluster, ClusterKind } from './clusters.ts';

export const SYNC_MODES = ['snapshot', 'incremental'] as const;

/** Local times of day, `HH:MM`; `to` before `from` goes over midnight, equal means the whole day. */
export interface SyncWindow {
  readonly from: string;
  readonly to: string;
}

/**
 * snapshot: mirrors new versions as self-contained snapshots when `cron` fires (what a replica needs to start is fetched
 * at once) and verifies all it holds then. incremental: mirrors new versions by the cheapest path as soon as they are
 * published. Both transfer only within `windows`, when there are any.
 */
export interface SyncPolicy {
  readonly mode: (typeof SYNC_MODES)[number];
  /** Five-field cron in `timeZone`: the scheduled snapshot of `snapshot`, and the verification of both. */
  readonly cron: string;
  /** Empty: at any time. */
  readonly windows: readonly SyncWindow[];
  /** IANA name. */
  readonly timeZone: string;
  /** Null: unlimited. */
  readonly bytesPerSecondMax: number | null;
}

export const DEFAULT_SYNC_POLICIES: Readonly<Record<ClusterKind, SyncPolicy>> = {
  central: { mode: 'snapshot', cron: '0 2 * * *', windows: [], timeZone: 'UTC', bytesPerSecondMax: null },
  edge: { mode: 'incremental', cron: '0 3 * * *', windows: [], timeZone: 'UTC', bytesPerSecondMax: null },
};

/** Clusters of one tenant with the same value of this label fetch from each other before they ask the registry. */
export const SITE_GROUP_LABEL = 'site-group';

/** Null: the cluster has no neighbours. */
export function siteGroupOf({ labels }: Pick<Cluster, 'labels'>): string | null {
  return labels[SITE_GROUP_LABEL] || null;
}

export interface WindowState {
  readonly isOpen: boolean;
  /** Until it closes when open, until it opens when closed; null when it stays as it is. */
  readonly changesInSeconds: number | null;
  /** `02:00–05:00 Asia/Shanghai`; empty without windows. */
  readonly words: string;
}

const DAY_MINUTES = 1_440;

/** Whether transfers may run at `now`. A day of daylight saving may shift a change by an hour; it is asked again then. */
export function windowState({ windows, timeZone }: Pick<SyncPolicy, 'windows' | 'timeZone'>, now: Date): WindowState {
  if (windows.length === 0) return { isOpen: true, changesInSeconds: null, words: '' };
  const words = `${windows.map(({ from, to }) => `${from}–${to}`).join(', ')} ${timeZone}`;
  const { minute, second } = localTime(timeZone, now);
  const isOpenAt = (at: number) => windows.some((window) => isWithin(window, at % DAY_MINUTES));
  const isOpen = isOpenAt(minute);
  for (let ahead = 1; ahead <= DAY_MINUTES; ahead += 1) {
    if (isOpenAt(minute + ahead) !== isOpen) return { isOpen, changesInSeconds: ahead * 60 - second, words };
  }
  return { isOpen, changesInSeconds: null, words };
}

function isWithin({ from, to }: SyncWindow, minute: number): boolean {
  const [begin, end] = [minuteOf(from), minuteOf(to)];
  if (begin === end) return true;
  return begin < end ? minute >= begin && minute < end : minute >= begin || minute < end;
}

function minuteOf(time: string): number {
  const [hours, minutes] = time.split(':');
  return Number(hours) * 60 + Number(minutes);
}

function localTime(timeZone: string, now: Date): { minute: number; second: number } {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone, timeStyle: 'medium', hourCycle: 'h23' });
  const [hours, minutes, seconds] = format.format(now).split(':').map(Number);
  return { minute: hours! * 60 + minutes!, second: seconds! };
}
