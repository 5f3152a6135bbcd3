/** What a queue may be made or changed to, beside the others of its tenant (F14). */
import {
  DEVICE_TYPES,
  type DeviceCounts,
  type DeviceType,
  deviceCountsProblem,
  QUEUE_DEPTH_MAX,
  type Queue,
  queueWeightProblem,
} from '#domain';

export type QueueShape = Pick<
  Queue,
  'id' | 'tenantId' | 'name' | 'parentId' | 'weight' | 'quota' | 'borrowingLimit' | 'lendingLimit'
>;

/** What is asked of a candidate, in this order; each answers a sentence or null. The later ones trust the earlier. */
const RULES: readonly ((candidate: QueueShape, byId: ReadonlyMap<string, QueueShape>) => string | null)[] = [
  countsProblem,
  weightProblem,
  parentProblem,
  depthProblem,
  quotaSumProblem,
];

/**
 * Why `candidate` cannot be one of `queues`, or null when it can. `queues` are those of its tenant (others do no harm);
 * one with the candidate's id is taken to be replaced by it.
 */
export function queueTreeProblem(queues: readonly QueueShape[], candidate: QueueShape): string | null {
  const byId = new Map([...queues, candidate].map((queue) => [queue.id, queue]));
  for (const rule of RULES) {
    const problem = rule(candidate, byId);
    if (problem !== null) return problem;
  }
  return null;
}

/**
 * What is not as it should be about the quota of `candidate`, in sentences; null: nothing. Warnings, no refusals: what runs
 * keeps running, and is given back when its owners ask for it; and a fleet may be smaller than what was promised of it.
 * As the planner counts it (`quota-tree-nodes.ts`): a type that is not named is what the queues below add up to, else 0.
 *
 * @param queues as for `queueTreeProblem`
 * @param used of the candidate's subtree
 * @param fleet devices of the whole fleet
 */
export function quotaWarning(
  queues: readonly QueueShape[],
  candidate: QueueShape,
  { used, fleet }: { readonly used: DeviceCounts; readonly fleet: DeviceCounts },
): string | null {
  const byId = new Map([...queues, candidate].map((queue) => [queue.id, queue]));
  const types = DEVICE_TYPES.map((deviceType) => ({
    deviceType,
    nominal: nominalOf(candidate, deviceType, byId),
    used: used[deviceType] ?? 0,
    there: fleet[deviceType] ?? 0,
  }));
  const below = types
    .filter((each) => each.used > each.nominal)
    .map((each) => `${each.used} ${each.deviceType} of a quota of ${each.nominal}`);
  const beyond = types
    .filter((each) => each.nominal > each.there)
    .map((each) => `${each.nominal} ${each.deviceType}, and the fleet has ${each.there}`);
  const { name } = candidate;
  const sentences = [
    ...(below.length === 0
      ? []
      : [`queue ${name} uses ${below.join(' and ')} now: what is above is borrowed and may be reclaimed`]),
    ...(beyond.length === 0 ? [] : [`queue ${name} has a quota of ${beyond.join('; of ')}`]),
  ];
  return sentences.length === 0 ? null : sentences.join('; ');
}

function countsProblem({ quota, borrowingLimit, lendingLimit }: QueueShape): string | null {
  for (const [name, counts] of Object.entries({ quota, borrowingLimit, lendingLimit })) {
    const problem = counts === null ? null : deviceCountsProblem(counts);
    if (problem !== null) return `${name}: ${problem}`;
  }
  return null;
}

function weightProblem({ weight }: QueueShape): string | null {
  const problem = queueWeightProblem(weight);
  return problem === null ? null : `weight ${problem}`;
}

function parentProblem(candidate: QueueShape, byId: ReadonlyMap<string, QueueShape>): string | null {
  if (candidate.parentId === null) return null;
  if (candidate.parentId === candidate.id) return `queue ${candidate.name} cannot be its own parent`;
  const parent = byId.get(candidate.parentId);
  if (parent === undefined || parent.tenantId !== candidate.tenantId) return 'there is no such parent queue';
  const seen = new Set([candidate.id]);
  for (let above: QueueShape | undefined = parent; above !== undefined; above = byId.get(above.parentId ?? '')) {
    if (seen.has(above.id)) return `queue ${candidate.name} would be below itself`;
    seen.add(above.id);
  }
  return null;
}

function depthProblem(candidate: QueueShape, byId: ReadonlyMap<string, QueueShape>): string | null {
  let depth = heightOf(candidate, childrenOf(byId));
  for (let { parentId } = candidate; parentId !== null; parentId = byId.get(parentId)?.parentId ?? null) depth += 1;
  return depth <= QUEUE_DEPTH_MAX ? null : `queues are at most ${QUEUE_DEPTH_MAX} levels deep, this makes ${depth}`;
}

type Children = ReadonlyMap<string | null, readonly QueueShape[]>;

function childrenOf(byId: ReadonlyMap<string, QueueShape>): Children {
  return Map.groupBy(byId.values(), ({ parentId }) => parentId);
}

/** Levels from here down, itself counted. That no queue is below itself was asked before. */
function heightOf(queue: QueueShape, children: Children): number {
  return 1 + Math.max(0, ...(children.get(queue.id) ?? []).map((child) => heightOf(child, children)));
}

/** Both ways: what its children have must fit into it, and it with its siblings into its parent. */
function quotaSumProblem(candidate: QueueShape, byId: ReadonlyMap<string, QueueShape>): string | null {
  const children = childrenOf(byId);
  for (let queue: QueueShape | undefined = candidate; queue !== undefined; queue = byId.get(queue.parentId ?? '')) {
    for (const deviceType of DEVICE_TYPES) {
      const own = queue.quota[deviceType];
      const below = (children.get(queue.id) ?? []).reduce(
        (sum, child) => sum + nominalIn(child, deviceType, children),
        0,
      );
      if (own !== undefined && below > own) {
        return `the queues below ${queue.name} have a quota of ${below} ${deviceType} together, it has ${own}`;
      }
    }
  }
  return null;
}

/** What it names; where it names nothing, what its children add up to. */
function nominalIn(queue: QueueShape, deviceType: DeviceType, children: Children): number {
  return (
    queue.quota[deviceType] ??
    (children.get(queue.id) ?? []).reduce((sum, child) => sum + nominalIn(child, deviceType, children), 0)
  );
}

/** Of a queue of a tree without cycles: what it names; where it names nothing, what the queues below it add up to. */
export function nominalOf(queue: QueueShape, deviceType: DeviceType, byId: ReadonlyMap<string, QueueShape>): number {
  return nominalIn(queue, deviceType, childrenOf(byId));
}
