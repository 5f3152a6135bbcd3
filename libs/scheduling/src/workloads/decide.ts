/** What becomes of one pending workload in its turn; see `cycle.ts` for the whole. */
import { type DecisionVictim, PRIORITY_MAX } from '#domain';
import { admittedMembers, chargeBeside, whyHeld } from './admission.ts';
import { reserve } from './backfill.ts';
import { called } from './called.ts';
import type { Cycle } from './cycle-state.ts';
import type { Option } from './eviction-options.ts';
import { describeNoVictims } from './no-victims.ts';
import { isWhole } from './nominations.ts';
import { type Hold, holdOn } from './outlook.ts';
import { type Found, findRoom, refusalKey, usableHolds } from './place.ts';
import type { Placed, QuotaRejection } from './ports.ts';
import { type Eviction, EvictionSearch } from './preemption.ts';
import type { PendingWorkload } from './snapshot.ts';
import {
  chosen,
  describeEviction,
  describePlace,
  describeStop,
  explain,
  type VerdictParts,
  verdictOf,
} from './verdicts.ts';

/** Searches for victims in vain; after so many in one cycle, further workloads wait for the next without a search. */
export const VAIN_SEARCHES_MAX = 100;

export function decide(cycle: Cycle, work: PendingWorkload): void {
  const parts = outcomeOf(cycle, work);
  const isLetGo = work.nomination !== null && parts.state !== 'started' && parts.state !== 'nominated';
  if (isLetGo) cycle.nominations.push({ workloadId: work.id, nomination: null });
  cycle.verdicts.push(verdictOf(cycle, work, parts));
}

function outcomeOf(cycle: Cycle, work: PendingWorkload): VerdictParts {
  const held = whyHeld(cycle, work);
  if (held !== null) return { state: 'held', ...held };
  const kept = keepPromise(cycle, work);
  if (kept !== null) return kept;
  const reservation = cycle.outlook.holdOf(work.id, 'reserved');
  if (reservation !== undefined) cycle.outlook.drop(reservation);
  const head = cycle.heads.get(work.claim.deviceType);
  if (head !== undefined && !cycle.policy.backfills) {
    return { state: 'waiting', reason: `waits behind ${called(head, work)}, which is before it` };
  }

  const admitted = admittedMembers(cycle, work);
  const rejection = typeof admitted === 'number' ? null : admitted;
  const members = typeof admitted === 'number' ? admitted : work.gang.minimum;
  const found = rejection === null ? findRoom(cycle, work, members) : null;
  if (found !== null) return startIn(cycle, work, found);
  const nominated = nominate(cycle, work, members, rejection);
  if (nominated !== null) return nominated;
  return rejection === null ? wait(cycle, work, reservation !== undefined) : heldByQuota(rejection);
}

/** It starts, in the room that it was promised or in other, or the room still comes; null: nothing is promised any more. */
function keepPromise(cycle: Cycle, work: PendingWorkload): VerdictParts | null {
  const { outlook } = cycle;
  const hold = outlook.holdOf(work.id, 'nominated');
  if (hold === undefined) return null;
  outlook.lift([hold]);
  const started = startPromised(cycle, work, hold);
  if (started === null && isWhole(cycle, work, 'coming')) {
    outlook.confirm(hold);
    const where = describePlace(cycle, work, placedIn(hold));
    return { state: 'nominated', reason: `waits for the room that is being made for it ${where}` };
  }
  outlook.drop(hold);
  if (started === null) cycle.promise(work, 0);
  return started;
}

/** Where room was made for it, or else where other room came free sooner. */
function startPromised(cycle: Cycle, work: PendingWorkload, hold: Hold): VerdictParts | null {
  const { tasks } = hold;
  if (isWhole(cycle, work, 'present')) return start(cycle, work, placedIn(hold), ', in the room that was made for it');
  const found = findRoom(cycle, work, tasks.length);
  if (found === null) return null;
  if (chargeBeside(cycle, work, tasks)) return startIn(cycle, work, found, ', sooner than where room is made for it');
  cycle.outlook.putBack(found.lifted);
  return null;
}

function placedIn({ tasks }: Hold): Placed {
  return { clusterId: tasks[0]!.clusterId, tasks, scores: {}, scope: 'cluster' };
}

function startIn(cycle: Cycle, work: PendingWorkload, { placed, lifted }: Found, why = ''): VerdictParts {
  const parts = start(cycle, work, placed, why);
  cycle.outlook.putBack(lifted);
  return parts;
}

function start(cycle: Cycle, work: PendingWorkload, placed: Placed, why: string): VerdictParts {
  // What has a promise goes ahead of nobody: its turn was in an earlier cycle.
  const head = cycle.isPromised(work) ? undefined : cycle.heads.get(work.claim.deviceType);
  const ahead = head === undefined ? '' : `, ahead of ${called(head, work)}, which it does not delay`;
  const reason = `runs ${describePlace(cycle, work, placed)}${why}${ahead}`;
  cycle.outlook.occupy(work, placed.tasks);
  cycle.charge(work, placed.tasks.length);
  cycle.starts.push({ workloadId: work.id, tasks: placed.tasks, reason, isBackfill: head !== undefined });
  return { state: 'started', reason, candidates: chosen(cycle, placed) };
}

/** Room comes, from what already ends or from what is now asked to; null: nobody may be asked, or it would not help. */
function nominate(
  cycle: Cycle,
  work: PendingWorkload,
  members: number,
  rejection: QuotaRejection | null,
): VerdictParts | null {
  const search = searchVictims(cycle, work, members, rejection);
  if (search === null) return null;
  const parts = promiseRoom(cycle, work, search.eviction);
  cycle.outlook.putBack(search.lifted);
  return parts;
}

/** `lifted`: holds that were lifted for it; `putBack` them once its room is promised. */
export function searchVictims(
  cycle: Cycle,
  work: PendingWorkload,
  members: number,
  rejection: QuotaRejection | null,
): { readonly eviction: Eviction; readonly lifted: readonly Hold[] } | null {
  if (!cycle.policy.preempts || work.preemption === 'never') return null;
  const kind = kindOf(cycle, work, members, rejection);
  if (cycle.refusals.isVain(kind, work.priority) || cycle.vainSearches >= VAIN_SEARCHES_MAX) return null;
  const key = `${kind} ${work.priority}`;
  const search = cycle.searchOf(key, () => new EvictionSearch(cycle, work, members, rejection));
  const lifted = usableHolds(cycle, work);
  cycle.outlook.lift(lifted);
  const eviction = search.run(work);
  if (eviction !== null) return { eviction, lifted };
  cycle.outlook.putBack(lifted);
  cycle.refusals.addVain(kind, work.priority);
  cycle.vainSearches += 1;
  return null;
}

/** No queue is called so. */
const FLEET = '*';

/** Of preemptors, but for their priority. */
function kindOf(cycle: Cycle, work: PendingWorkload, members: number, rejection: QuotaRejection | null): string {
  return cycle.kindText(
    refusalKey(cycle, work, members),
    work.queueId,
    rejection === null ? '' : (rejection.queueId ?? FLEET),
  );
}

function promiseRoom(cycle: Cycle, work: PendingWorkload, eviction: Eviction): VerdictParts {
  const { placed, victims } = eviction;
  for (const option of victims) stop(cycle, work, option);
  cycle.outlook.evict(victims.map(({ victim }) => victim.running));
  cycle.outlook.hold(holdOn('nominated', work, placed.tasks));
  cycle.promise(work, placed.tasks.length);
  const nomination = { clusterId: placed.clusterId, tasks: placed.tasks, since: new Date(cycle.nowMs) };
  cycle.nominations.push({ workloadId: work.id, nomination });
  return nominatedBy(cycle, work, eviction);
}

export function nominatedBy(cycle: Cycle, work: PendingWorkload, eviction: Eviction): VerdictParts {
  const candidates = chosen(cycle, eviction.placed);
  const reason = describeEviction(cycle, work, eviction);
  return {
    state: 'nominated',
    reason,
    candidates,
    victims: eviction.victims.map((option) => toDecisionVictim(option, work)),
  };
}

function stop(cycle: Cycle, work: PendingWorkload, { victim, cause }: Option): void {
  const { running, lostDeviceSeconds, devices } = victim;
  cycle.stops.push({
    holderId: running.holderId,
    workloadId: running.id,
    byWorkloadId: work.id,
    cause,
    lostDeviceSeconds,
    reason: describeStop(cycle, work, victim, cause),
    violatesBudget: cycle.victims.budgetLeft(victim) <= 0,
  });
  cycle.victims.choose(victim);
  cycle.quota.refund(running.queueId, running.claim.deviceType, devices);
}

function toDecisionVictim({ victim: { running, lostDeviceSeconds } }: Option, work: PendingWorkload): DecisionVictim {
  const { id: jobId, holderId: attemptId, priority } = running;
  return { jobId, jobName: called(running, work), attemptId, priority, lostDeviceSeconds };
}

/** No room. The first of its device type to get here is the head that nothing behind it may delay. */
function wait(cycle: Cycle, work: PendingWorkload, hadReservation: boolean): VerdictParts {
  const parts = waiting(cycle, work);
  if (parts.state === 'unschedulable') return parts;
  const { deviceType } = work.claim;
  const head = cycle.heads.get(deviceType);
  if (head === undefined) cycle.heads.set(deviceType, work);
  const mayReserve = cycle.policy.backfills && (head === undefined || hadReservation);
  const hold = mayReserve ? reserve(cycle, work, true) : null;
  if (head === undefined) return { ...parts, startsByMs: startsBy(cycle, hold) };
  const behind = cycle.told.behind(parts, called(head, work));
  return hold === null ? behind : { ...behind, startsByMs: startsBy(cycle, hold) };
}

/** Why there is no room, and why none is made. */
export function waiting(cycle: Cycle, work: PendingWorkload): VerdictParts {
  const { fit, candidates, changes, isImpossible } = explain(cycle, work);
  if (isImpossible) return { state: 'unschedulable', reason: `can never fit: ${fit}`, candidates, changes };
  return cycle.told.waiting(fit, noVictims(cycle, work), candidates, changes);
}

/** Equal workloads of a queue share the words. */
function noVictims(cycle: Cycle, work: PendingWorkload): string {
  if (!cycle.policy.preempts) return '';
  const ofQueue = cycle.words.get(work.queueId) ?? new Map<number, string>();
  cycle.words.set(work.queueId, ofQueue);
  const asked = refusalKey(cycle, work, work.gang.minimum) * 2 + Number(work.preemption === 'never');
  const key = asked * (PRIORITY_MAX + 1) + work.priority;
  const known = ofQueue.get(key);
  if (known !== undefined) return known;
  const words = cycle.wordings < VAIN_SEARCHES_MAX ? describeNoVictims(cycle, work) : '';
  cycle.wordings += 1;
  ofQueue.set(key, words);
  return words;
}

/** What may end at any moment tells no time. */
export function startsBy({ nowMs }: Cycle, hold: Hold | null): number | null {
  const wholeAtMs = hold?.wholeAtMs ?? null;
  return wholeAtMs === null || wholeAtMs <= nowMs ? null : wholeAtMs;
}

export function heldByQuota({ because, change, couldFit }: QuotaRejection): VerdictParts {
  return couldFit
    ? { state: 'held', reason: because, changes: [change] }
    : { state: 'unschedulable', reason: `can never be admitted: ${because}`, changes: [change] };
}
