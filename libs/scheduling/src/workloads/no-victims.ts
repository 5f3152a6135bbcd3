/** What a workload that waits is told of those that run where it could: how many of them are no victims, and why. */
import type { Cycle } from './cycle-state.ts';
import type { Group } from './running/census.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload } from './snapshot.ts';
import { Rights, SHIELDS } from './victims.ts';

/** Why nothing is stopped for it; empty when nothing of its type runs where it could. */
export function describeNoVictims(cycle: Cycle, work: PendingWorkload): string {
  if (work.preemption === 'never') return '; by its priority class nothing is stopped for it';
  const eligible = new Set(cycle.outlook.coming.eligible(requestOf(work)).map(({ clusterId }) => clusterId));
  const counts = new Map<string, number>();
  const add = (words: string, count: number) => counts.set(words, (counts.get(words) ?? 0) + count);
  const isThere = ({ deviceType, clusterIds }: Group) =>
    deviceType === work.claim.deviceType && clusterIds.some((clusterId) => eligible.has(clusterId));
  const rights = new Rights(cycle.quota, work, work.claim.count * work.gang.minimum);
  const wordsOf = (group: Group) => group.shield ?? whyNotEnough(cycle, work, rights, group);
  for (const group of cycle.books.census.groups) if (isThere(group)) add(wordsOf(group), group.count);
  for (const group of passedOver(cycle).filter(isThere)) {
    add(wordsOf(group), -1);
    add('already end', 1);
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (all === 0) return '';
  const words = [...counts]
    .filter(([, count]) => count > 0)
    .sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1));
  if (all === 1) return `; the one that runs there ${ofOne(words[0]![0])}`;
  return `; of ${all} that run there ${words.map(([why, count]) => `${count} ${count === 1 ? ofOne(why) : why}`).join(', ')}`;
}

/** Of each that nothing shields and that is no victim all the same, its group: chosen now, or not what its workload counts by. */
function passedOver({ books, queues, victims }: Cycle): Group[] {
  const others = [...books.repeated.values()]
    .flat()
    .filter((each) => queues.has(each.queueId) && books.census.of(each).shield === null && !victims.isCounted(each));
  return [...victims.chosen.map(({ running }) => running), ...others].map((each) => books.census.of(each));
}

function whyNotEnough({ queues }: Cycle, { priority }: PendingWorkload, rights: Rights, group: Group): string {
  if (!queues.has(group.running.queueId)) return 'are of a queue that does not exist';
  if (rights.over(group) !== null) return 'would not make enough room';
  return group.running.priority >= priority ? 'are as important or more' : 'are within the quota of their queue';
}

/** Where one is told otherwise than many. */
const OF_ONE: ReadonlyMap<string, string> = new Map([
  ...SHIELDS.map((shield) => [shield.words, shield.ofOne] as const),
  ['are of a queue that does not exist', 'is of a queue that does not exist'],
  ['are as important or more', 'is as important or more'],
  ['are within the quota of their queue', 'is within the quota of its queue'],
]);

function ofOne(words: string): string {
  return OF_ONE.get(words) ?? words;
}
