/** Which of some clusters takes a workload, and where in it: the place of the highest score, equal ones by a stable hash. */
import type { TaskBinding, TopologyScope } from '#domain';
import { stableHash } from '../candidates.ts';
import { type ScoredPlace, scorePlace, scoresOf } from './capacity-scorers.ts';
import { findSpot, mostMembers, type Need } from './devices/need.ts';
import type { Spot } from './devices/rooms.ts';
import { SCOPES_BY_WIDTH, type Topology } from './devices/topology.ts';
import type { Offer, TypeRooms } from './devices/type-rooms.ts';
import type { Placed, PlaceRequest } from './ports.ts';

export interface Choice {
  readonly rooms: TypeRooms;
  readonly spot: Spot;
  readonly members: number;
  readonly place: ScoredPlace;
  readonly score: number;
}

/** The whole gang in one cluster. */
export function chooseWhole(clusters: readonly TypeRooms[], need: Need, request: PlaceRequest): Choice | null {
  const salt = stableHash(request.workloadId);
  let best: Choice | null = null;
  for (let at = 0; at < clusters.length; at += 1) {
    const rooms = clusters[at]!;
    const { found } = offerOf(rooms, need);
    if (found === null) continue;
    const isPreferred = isPreferredIn(rooms, request);
    const score = isPreferred ? scorePlace({ ...found.place, isPreferred }) : found.score;
    if (!isBetter(rooms, score, best, salt)) continue;
    best = { rooms, spot: found.spot, members: need.size, place: { ...found.place, isPreferred }, score };
  }
  return best;
}

/** As much of the gang as fits into one cluster, at least its minimum (G02). */
export function choosePart(clusters: readonly TypeRooms[], need: Need, request: PlaceRequest): Choice | null {
  const salt = stableHash(request.workloadId);
  let best: Choice | null = null;
  for (const rooms of need.minimum < need.size ? clusters : []) {
    const { members } = mostMembers(rooms.now, need);
    if (members < need.minimum) continue;
    const choice = choosePlace(rooms, need, request, Math.min(members, need.size));
    if (isBetter(rooms, choice.score, best, salt)) best = choice;
  }
  return best;
}

/** As much of the gang as fits into several clusters, the roomiest first, each taking what it can (G07). */
export function chooseAcross(clusters: readonly TypeRooms[], need: Need, request: PlaceRequest): Choice[] {
  const roomiest = clusters
    .map((rooms) => ({ rooms, members: mostMembers(rooms.now, need).members }))
    .sort((left, right) => right.members - left.members);
  const chosen: Choice[] = [];
  let missing = need.size;
  for (const { rooms, members } of roomiest) {
    const count = Math.min(members, missing);
    if (count > 0) chosen.push(choosePlace(rooms, need, request, count));
    missing -= count;
  }
  return need.size - missing < need.minimum ? [] : chosen;
}

/** One member, in the narrowest domain that has room and in which others of its gang are; of equal ones where most are. */
export function chooseBeside(rooms: TypeRooms, need: Need, others: readonly TaskBinding[]): Choice | null {
  const { topology } = rooms.pool;
  const nodes = others.flatMap(({ devices }) => devices?.map(({ node }) => topology.numberOf(node)) ?? []);
  const widest = topology.levelOf(need.size === 1 ? 'cluster' : need.scope);
  for (let level = 0; level <= widest; level += 1) {
    for (const domain of domainsOf(topology, level, nodes)) {
      const spot = rooms.now.findIn(need.member, level, domain);
      if (spot !== null) return toChoice(rooms, spot);
    }
  }
  return null;
}

/** Domains of some nodes, the one of most of them first; of none, the whole cluster. */
function domainsOf(topology: Topology, level: number, nodes: readonly number[]): number[] {
  const there = nodes.filter((node) => node !== -1);
  if (there.length === 0) return level === topology.top ? [0] : [];
  const counts = Map.groupBy(there, (node) => topology.domainsAt(level)[node]!);
  return [...counts].sort(([, left], [, right]) => right.length - left.length).map(([domain]) => domain);
}

function toChoice(rooms: TypeRooms, spot: Spot): Choice {
  const place = { isPreferred: false, members: 1, size: 1, width: 0, share: 1, freeShare: 1 };
  return { rooms, spot, members: 1, place, score: 0 };
}

/** Looked for again only once a device there was taken or given back: most questions change one cluster of many. */
function offerOf(rooms: TypeRooms, need: Need): Offer {
  const { changes } = rooms.pool;
  const known = rooms.offers[need.number];
  if (known?.changes === changes && known.need === need) return known;
  const spot = rooms.pool.free < need.claim.count * need.size ? null : findSpot(rooms.now, need, need.size);
  const place = spot === null ? null : describePlace(rooms, spot, need.size, need);
  const offer = { need, changes, found: place === null ? null : { spot: spot!, place, score: scorePlace(place) } };
  rooms.offers[need.number] = offer;
  return offer;
}

/** So many members, who fit. */
function choosePlace(rooms: TypeRooms, need: Need, request: PlaceRequest, members: number): Choice {
  const spot = findSpot(rooms.now, need, members)!;
  const place = { ...describePlace(rooms, spot, members, need), isPreferred: isPreferredIn(rooms, request) };
  return { rooms, spot, members, place, score: scorePlace(place) };
}

function isPreferredIn({ cluster }: TypeRooms, { preferredClusterIds }: PlaceRequest): boolean {
  return preferredClusterIds.length > 0 && preferredClusterIds.includes(cluster.id);
}

/** Of a cluster that is not preferred. */
function describePlace({ pool, now }: TypeRooms, spot: Spot, members: number, { size }: Need): ScoredPlace {
  return {
    isPreferred: false,
    members,
    size,
    width: widthOf(pool.topology.scopeAt(spot.level)),
    share: now.shareOf(spot),
    freeShare: pool.free / pool.size,
  };
}

function widthOf(scope: TopologyScope): number {
  return SCOPES_BY_WIDTH.indexOf(scope) - 1;
}

/** `salt`: of the workload, so that not every tie goes to one cluster. */
function isBetter(rooms: TypeRooms, score: number, best: Choice | null, salt: number): boolean {
  if (best === null || score !== best.score) return best === null || score > best.score;
  const leftHash = mix(salt, rooms.hash);
  const rightHash = mix(salt, best.rooms.hash);
  return leftHash === rightHash ? rooms.cluster.id < best.rooms.cluster.id : leftHash < rightHash;
}

/** The finaliser of MurmurHash3 over both. */
function mix(left: number, right: number): number {
  let hash = left ^ right;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Ranks from `firstRank` on, each with `count` devices. */
export function bindMembers({ rooms, spot, members }: Choice, count: number, firstRank: number): TaskBinding[] {
  const { id, kind } = rooms.cluster;
  const slots = kind === 'edge' ? [] : rooms.now.slotsOf(spot);
  const tasks: TaskBinding[] = [];
  for (let index = 0; index < members; index += 1) {
    tasks.push({ rank: firstRank + index, clusterId: id, devices: rooms.bind(slots, index * count, count) });
  }
  return tasks;
}

export function toPlaced(choice: Choice, count: number): Placed {
  const { rooms, spot, place } = choice;
  return {
    clusterId: rooms.cluster.id,
    tasks: bindMembers(choice, count, 0),
    scores: scoresOf(place),
    scope: spot.room.unit.isLinked && spot.members === 1 ? 'link' : rooms.pool.topology.scopeAt(spot.level),
  };
}

/** Several clusters, of which the first one is named. */
export function toPlacedAcross(choices: readonly Choice[], count: number): Placed | null {
  const [first] = choices;
  if (first === undefined || choices.length === 1) return first === undefined ? null : toPlaced(first, count);
  const tasks: TaskBinding[] = [];
  for (const choice of choices) tasks.push(...bindMembers(choice, count, tasks.length));
  return {
    clusterId: first.rooms.cluster.id,
    tasks,
    scores: scoresOf({ ...first.place, members: tasks.length }),
    scope: 'fleet',
  };
}
