/** When what runs ends by its submitter's word, the first first; kept from cycle to cycle. */
import type { DeviceType } from '#domain';
import type { RunningWorkload } from '../snapshot.ts';
import type { RosterChange } from './roster.ts';

export interface End {
  readonly holderId: string;
  /** Unix milliseconds. */
  readonly endsAtMs: number;
}

export class RunEnds {
  /** By its word, though it be over. */
  private readonly ends = new Map<DeviceType, End[]>();

  constructor(running: Iterable<RunningWorkload>) {
    for (const each of running) {
      const end = endOf(each);
      if (end !== null) this.ofType(each).push(end);
    }
    for (const ends of this.ends.values()) ends.sort(byEnd);
  }

  update({ gone, come }: RosterChange): void {
    for (const each of gone) {
      const end = endOf(each);
      if (end !== null) this.ofType(each).splice(placeOf(this.ofType(each), end), 1);
    }
    for (const each of come) {
      const end = endOf(each);
      if (end !== null) this.ofType(each).splice(placeOf(this.ofType(each), end), 0, end);
    }
  }

  /**
   * The first `max` of a device type. What outran its word may end at any moment, so now, for `overrunMs`; after that
   * nobody can tell.
   */
  first(deviceType: DeviceType, nowMs: number, overrunMs: number, max: number): End[] {
    const ends = this.ends.get(deviceType) ?? [];
    const from = countUntil(ends, ({ endsAtMs }) => endsAtMs >= nowMs - overrunMs);
    const future = countUntil(ends, ({ endsAtMs }) => endsAtMs > nowMs);
    const due = ends.slice(from, future).map(({ holderId }) => ({ holderId, endsAtMs: nowMs }));
    return [...due.sort(byEnd), ...ends.slice(future, future + max)].slice(0, max);
  }

  private ofType({ claim: { deviceType } }: RunningWorkload): End[] {
    const known = this.ends.get(deviceType);
    if (known !== undefined) return known;
    const ends: End[] = [];
    this.ends.set(deviceType, ends);
    return ends;
  }
}

export function byEnd(left: End, right: End): number {
  return (
    left.endsAtMs - right.endsAtMs || (left.holderId === right.holderId ? 0 : left.holderId < right.holderId ? -1 : 1)
  );
}

/** Null: that cannot be told, or it ends already. */
function endOf({
  holderId,
  isEnding,
  expectedSeconds,
  savedSeconds,
  startedAtMs,
  savedAtMs,
}: RunningWorkload): End | null {
  if (isEnding || expectedSeconds === null) return null;
  const sinceMs = Math.max(startedAtMs, savedAtMs ?? startedAtMs);
  return { holderId, endsAtMs: sinceMs + Math.max(0, expectedSeconds - savedSeconds) * 1_000 };
}

/** Where it is, or would be put. */
function placeOf(ends: readonly End[], end: End): number {
  return countUntil(ends, (each) => byEnd(each, end) >= 0);
}

/** How many come before the first one of which `isThere` holds, as it does of all after that. */
function countUntil(ends: readonly End[], isThere: (end: End) => boolean): number {
  let low = 0;
  for (let high = ends.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (isThere(ends[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
