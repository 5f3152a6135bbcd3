/** What a deployment is told of its spread when some group has no replica of it: which groups have room, and what would help. */
import type { Deployment, SpreadField } from '#domain';
import type { Candidate } from './candidates.ts';
import { countReasons } from './outcome.ts';
import { SELECTOR_FILTERS } from './selector-filters.ts';
import type { Spread } from './spread.ts';

/** Groups and reasons that are named; of the others it is said how many there are. */
const NAMED_MAX = 5;
const SELECTS: ReadonlySet<string | null> = new Set(SELECTOR_FILTERS.map(({ name }) => name));

/**
 * Empty: there is nothing to say.
 *
 * @param isWaiting whether replicas found no place
 * @param candidates as they were judged for the first of those
 */
export function describeSpread(
  { deletedAt }: Pick<Deployment, 'deletedAt'>,
  spread: Spread,
  isWaiting: boolean,
  candidates: readonly Candidate[],
): string {
  if (spread.constraint === null || spread.missing === 0 || deletedAt !== null) return '';
  const { by } = spread.constraint;
  const taken = [...spread.groups.keys()].sort();
  const has = `it wants ${count(taken.length + spread.missing, by)} and has ${taken.length === 0 ? 'none' : named(taken)}`;
  if (spread.isFull) return `${has}; what runs is not moved for it: scale up, or drain a cluster that runs some`;
  if (!isWaiting) return '';
  const groups = groupsOf(spread, candidates);
  const untaken = [...groups.keys()].filter((group) => !spread.groups.has(group));
  const here = [...groups].map(([group, members]) => `${group} ${describeGroup(members)}`);
  const all = untaken.length === 0 ? [...here, `no other ${by} is selected`] : here;
  const help = untaken.length === 0 ? 'join or select' : `make room in ${named(untaken, ' or ')}, join`;
  return `${has}: ${named(all)}; ${help} a cluster of another ${by}, or want fewer`;
}

/** In the order of their names, those of which some cluster is selected. */
function groupsOf(spread: Spread, candidates: readonly Candidate[]): ReadonlyMap<string, readonly Candidate[]> {
  const selected = candidates.filter(({ verdict }) => !SELECTS.has(verdict.rejectedBy));
  const byGroup = Map.groupBy(selected, ({ verdict }) => spread.groupOf(verdict.clusterId) ?? '');
  byGroup.delete('');
  return new Map([...byGroup].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function describeGroup(members: readonly Candidate[]): string {
  const hasRoom = members.some(({ verdict }) => verdict.rejectedBy === null || verdict.rejectedBy === 'spread');
  return hasRoom ? 'has room' : `has none (${countReasons(members)})`;
}

function named(words: readonly string[], between = ', '): string {
  const left = words.length - NAMED_MAX;
  return left <= 0 ? words.join(between) : `${words.slice(0, NAMED_MAX).join(between)} and ${left} more`;
}

function count(groups: number, by: SpreadField): string {
  return groups === 1 ? `1 ${by}` : `${groups} ${by}s`;
}
