/**
 * EASY backfill (Lifka 1995): the first workload in order that finds no room, the head, gets a reservation: the room in
 * which it will fit first, and the moment at which it does, when that can be told. What comes after it may use that room
 * only if it is gone by then; so it never delays the head by its own word (B01).
 *
 * When a running workload ends is its submitter's word: `expectedSeconds` less what is saved. Without one it never ends,
 * as far as can be told; one that outran its word may end at any moment, for `overrunSecondsMax`, and then counts as never
 * ending too (B02). When no end helps, the room with the most free devices is reserved without a moment, so that it drains
 * and a large head is not starved by small ones (B03). Replicas never end by themselves: room that is not enough beside
 * them is never whole, and holds up nobody.
 *
 * One head for each device type. What waited for half its cap has a reservation before anyone is served, which gives way
 * to what is served before it only where that has no other place (S01, S02).
 */
import type { DeviceType } from '#domain';
import type { Cycle } from './cycle-state.ts';
import { type Hold, holdOn } from './outlook.ts';
import { endsAtMs } from './place.ts';
import type { CapacityAccount, Placed, PlaceRequest } from './ports.ts';
import { byEnd, type End } from './running/run-ends.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload } from './snapshot.ts';

/** Part of the wait cap after which room is reserved, so that what runs there has the rest of it to end (S01). */
const RESERVE_AFTER = 0.5;
/** So many that waited so long have reservations at a time, those that waited longest. */
export const AGED_RESERVATIONS_MAX = 8;
/** Those that can never fit take no place of the above; beyond so many they do. */
const AGED_LOOKED_AT_MAX = 1_000;
/** A room that is not whole after so many ends is reserved as if none could be told. */
const ENDS_LOOKED_AT_MAX = 5_000;
/** A room whose devices are not what is asked for (memory, links) is passed over, so often. */
const ROOMS_TRIED_MAX = 32;

interface Reserved {
  readonly placed: Placed;
  readonly wholeAtMs: number | null;
}

interface Room {
  readonly clusterId: string;
  readonly freeDevices: number;
  /** Asked of the few rooms that are tried. */
  readonly holderIds: () => Iterable<string>;
}

/** Takes the room for the workload; null: it would fit nowhere, whatever ended. */
export function reserve(cycle: Cycle, work: PendingWorkload, isFirm: boolean): Hold | null {
  const request = requestOf(work);
  const reserved = firstRoom(cycle, request) ?? fullestRoom(cycle, request);
  if (reserved === null) return null;
  const hold = holdOn('reserved', work, reserved.placed.tasks, { wholeAtMs: reserved.wholeAtMs, isFirm });
  cycle.outlook.hold(hold);
  return hold;
}

export function reserveForAged(cycle: Cycle, mayRun: (work: PendingWorkload) => boolean): void {
  const { nowMs, policy, snapshot } = cycle;
  if (!policy.backfills) return;
  const reserveAfterMs = policy.waitCapSeconds * 1_000 * RESERVE_AFTER;
  const aged = snapshot.pending.filter(
    (work) => nowMs - work.queuedAtMs > reserveAfterMs && work.nomination === null && mayRun(work),
  );
  aged.sort((left, right) => left.queuedAtMs - right.queuedAtMs || (left.id < right.id ? -1 : 1));
  const possible = aged
    .slice(0, AGED_LOOKED_AT_MAX)
    .filter((work) => cycle.outlook.coming.eligible(requestOf(work)).length > 0);
  for (const work of possible.slice(0, AGED_RESERVATIONS_MAX)) reserve(cycle, work, false);
}

/** Where it fits first as what runs ends by its word, and when. Doubles the number of ended ones, then halves the step. */
function firstRoom(cycle: Cycle, request: PlaceRequest): Reserved | null {
  const account = cycle.outlook.coming;
  const ends = endsOf(cycle, request.claim.deviceType);
  const start = account.mark();
  const marks = [start];
  const goTo = (ended: number): Placed | null => {
    if (ended < marks.length) account.rollback(marks[ended]!);
    marks.length = Math.min(marks.length, ended + 1);
    for (let next = marks.length - 1; next < ended; next += 1) {
      account.release(ends[next]!.holderId);
      marks.push(account.mark());
    }
    return account.find(request);
  };
  const found = leastEnded(Math.min(ends.length, ENDS_LOOKED_AT_MAX), goTo);
  const placed = found === null ? null : goTo(found);
  account.rollback(start);
  if (placed === null || found === null) return null;
  return { placed, wholeAtMs: found === 0 ? cycle.nowMs : ends[found - 1]!.endsAtMs };
}

/** The least number at which `fits` is not null, which it then is for all greater ones; null: for none up to `max`. */
function leastEnded(max: number, fits: (ended: number) => unknown): number | null {
  let tooFew = -1;
  let enough = 0;
  while (fits(enough) === null) {
    if (enough === max) return null;
    tooFew = enough;
    enough = Math.min(max, Math.max(1, enough * 2));
  }
  while (enough - tooFew > 1) {
    const middle = (tooFew + enough) >> 1;
    if (fits(middle) === null) tooFew = middle;
    else enough = middle;
  }
  return enough;
}

/** Those of this device type whose end can be told, the first first. What ends before its time is released twice. */
function endsOf(cycle: Cycle, deviceType: DeviceType): readonly End[] {
  const { nowMs, policy, books, outlook } = cycle;
  const ends = books.ends.first(deviceType, nowMs, policy.overrunSecondsMax * 1_000, ENDS_LOOKED_AT_MAX);
  const starting = outlook.starting
    .filter(({ work }) => work.claim.deviceType === deviceType && work.expectedSeconds !== null)
    .map(({ work }) => ({ holderId: work.id, endsAtMs: endsAtMs(cycle, work) }));
  return starting.length === 0 ? ends : [...ends, ...starting].sort(byEnd);
}

/** Where most is free already, of the rooms in which it would fit were no other job there. */
function fullestRoom(cycle: Cycle, request: PlaceRequest): Reserved | null {
  const account = cycle.outlook.coming;
  const rooms = account.eligible(request).flatMap(({ clusterId }) => roomsIn(account, clusterId, request));
  rooms.sort((left, right) => right.freeDevices - left.freeDevices);
  const stays = isReplica(cycle);
  for (const { clusterId, holderIds } of rooms.slice(0, ROOMS_TRIED_MAX)) {
    const mark = account.mark();
    for (const holderId of holderIds()) if (isWork(holderId) && !stays(holderId)) account.release(holderId);
    const placed = account.find(request, new Set([clusterId]));
    account.rollback(mark);
    if (placed !== null) return { placed, wholeAtMs: null };
  }
  return null;
}

/** Each domain; the whole cluster where several domains have to be free together. */
function roomsIn(account: CapacityAccount, clusterId: string, request: PlaceRequest): Room[] {
  const { claim, gang } = request;
  const domains = account.domains(clusterId, request).filter(({ totalDevices }) => totalDevices >= claim.count);
  if (gang.size === 1 || gang.topology !== null) {
    return domains.map(({ freeDevices, holders }) => ({ clusterId, freeDevices, holderIds: () => holders.keys() }));
  }
  const freeDevices = domains.reduce((sum, domain) => sum + domain.freeDevices, 0);
  return [{ clusterId, freeDevices, holderIds: () => account.holdersIn(clusterId, claim.deviceType) }];
}

/** Whether it is a replica, that runs or starts now. */
function isReplica({ books, outlook }: Cycle): (holderId: string) => boolean {
  const starting = new Set(outlook.starting.filter(({ work }) => work.kind === 'serving').map(({ work }) => work.id));
  return (holderId) => books.of(holderId)?.kind === 'serving' || starting.has(holderId);
}

/** Not a hold. */
function isWork(holderId: string): boolean {
  return !holderId.startsWith('nominated:') && !holderId.startsWith('reserved:');
}
