/** Why a cluster has no place for a workload, in words that name what is missing and how much of it there is. */
import { memoryWords, type TopologyScope } from '#domain';
import { describeClaim } from '../filters.ts';
import { type Rejection, reject, rejectSelected } from '../selector-filters.ts';
import type { ClusterRooms } from './devices/fleet-devices.ts';
import { findSpot, mostMembers, type Need } from './devices/need.ts';
import type { Rooms } from './devices/rooms.ts';
import type { TypeRooms } from './devices/type-rooms.ts';
import type { CapacityAccount, PlaceRejection, PlaceRequest } from './ports.ts';

interface Verdict extends Rejection {
  readonly by: string;
  readonly couldFit: boolean;
}

/** The first filter that says no; null when the cluster has a place for the gang's minimum. */
export function rejectPlace(here: ClusterRooms, need: Need, request: PlaceRequest): PlaceRejection | null {
  const verdict = judge(here, need, request);
  return verdict === null ? null : { clusterId: here.cluster.id, clusterName: here.cluster.name, ...verdict };
}

function judge({ cluster, byType }: ClusterRooms, need: Need, request: PlaceRequest): Verdict | null {
  const unselected = rejectSelected(cluster, request.selector);
  if (unselected !== null) return { by: unselected.by, ...unselected.rejection, couldFit: false };
  const rooms = byType.get(need.claim.deviceType);
  const isPossible = rooms !== undefined && couldFit(rooms, need);
  if (cluster.closed !== null) return { by: 'closed', ...cluster.closed, couldFit: isPossible };
  if (request.avoidClusterIds.includes(cluster.id)) {
    const failed = reject('it lately failed to start here', 'where it lately failed');
    return { by: 'failures', ...failed, couldFit: isPossible };
  }
  if (rooms === undefined) return lacks(need, `it has no ${need.claim.deviceType}`);
  if (findSpot(rooms.now, need, need.minimum) !== null) return null;
  return isPossible ? judgeBusy(rooms, need) : judgeImpossible(rooms, need);
}

/** Whether the least that a cluster must take, would fit were it empty. */
export function couldFit({ empty }: TypeRooms, need: Need): boolean {
  return findSpot(empty, need, need.maySpan ? 1 : need.minimum) !== null;
}

function judgeBusy({ now, empty }: TypeRooms, need: Need): Verdict {
  const wanted = need.claim.count * need.minimum;
  const free = countDevices(now, need);
  const words = describeNeed(need);
  const summary = need.minimum === 1 ? `have no free ${words}` : `have no room for ${words}`;
  if (free === 0) {
    return { by: 'devices', ...reject(`others hold ${describeAll(empty, need)}`, summary), couldFit: true };
  }
  const where = countsByLevel(now, need);
  if (free >= wanted) {
    const because = `enough are free for ${words}, but not together: ${where}`;
    return { by: 'topology', ...reject(because, summary), couldFit: true };
  }
  const count = `${free} of ${wanted} ${free === 1 ? 'is' : 'are'} free`;
  const because = `others hold its ${describeDevices(need)}, ${count}: ${where}`;
  return { by: 'devices', ...reject(because, summary), couldFit: true };
}

/** Such as `all 8 of its nvidia.com/gpu`. */
function describeAll(empty: Rooms, need: Need): string {
  const total = countDevices(empty, need);
  return total === 1 ? `its only ${describeDevices(need)}` : `all ${total} of its ${describeDevices(need)}`;
}

/** Those that would do, by type and memory. */
function describeDevices({ claim: { deviceType }, member: { memoryBytes } }: Need): string {
  return memoryBytes === 0 ? deviceType : `${deviceType} of ${memoryWords(memoryBytes, 'up')} or more`;
}

function judgeImpossible({ empty, pool }: TypeRooms, need: Need): Verdict {
  const { deviceType, count } = need.claim;
  const total = countDevices(empty, need);
  if (total === 0) {
    const [wanted, most] = [memoryWords(need.member.memoryBytes, 'up'), memoryWords(pool.memoryBytesMax, 'down')];
    return lacks(need, `no ${deviceType} here has ${wanted} of memory, the largest has ${most}`);
  }
  const wanted = count * need.minimum;
  if (total < wanted) return lacks(need, `it has only ${total} of ${wanted} ${describeDevices(need)}`);
  const because = `its ${deviceType} are never together like that: ${countsByLevel(empty, need)}`;
  return { by: 'topology', ...reject(because, `lack ${describeNeed(need)}`), couldFit: false };
}

function lacks(need: Need, because: string): Verdict {
  return { by: 'devices', ...reject(because, `lack ${describeNeed(need)}`), couldFit: false };
}

/** Devices with enough memory. */
function countDevices(rooms: Rooms, need: Need): number {
  return mostMembers(rooms, singles(need, 'cluster')).members;
}

/** The same devices, each as a member, as far apart as a scope allows. */
function singles(need: Need, scope: TopologyScope): Need {
  return { ...need, member: { ...need.member, count: 1, scope: 'node' }, scope, isLinked: false };
}

const SCOPE_PHRASES: Readonly<Record<TopologyScope, string>> = {
  link: ' in one link domain',
  node: ' in one node',
  rack: ' in one rack',
  zone: ' in one zone',
  cluster: '',
};

/** Such as `nvidia.com/gpu ×8 in one node`, `4 members of nvidia.com/gpu ×2 in one node, all in one rack`. */
function describeNeed({ claim, minimum, size, scope }: Need): string {
  if (size === 1) return describeClaim(claim);
  const together = scope === 'cluster' ? '' : `, all${SCOPE_PHRASES[scope]}`;
  return `${minimum} ${minimum === 1 ? 'member' : 'members'} of ${describeClaim(claim)}${together}`;
}

/** How much the best domain of each level that has any has, from the scope that is asked for outwards (T02). */
function countsByLevel(rooms: Rooms, need: Need): string {
  const { topology } = rooms.pool;
  const counts: string[] = [];
  if (need.scope === 'link') {
    const linked = rooms.largestLink(need.member);
    counts.push(linked === 0 ? 'none of them is linked' : `a link domain has ${linked} of ${wantedOf(need)}`);
  }
  for (let level = topology.levelOf(need.scope); level <= topology.top; level += 1) {
    const asked = {
      ...(need.size === 1 ? singles(need, 'node') : need),
      scope: topology.scopeAt(level),
      isLinked: false,
    };
    const { members, domain } = mostMembers(rooms, asked);
    if (domain === -1) continue;
    const name = topology.nameOf(level, domain);
    counts.push(
      need.size === 1
        ? `${name} has ${members} of ${wantedOf(need)}`
        : `${name} has room for ${members} of ${need.minimum}`,
    );
  }
  return counts.length === 0 ? `there is room for none of ${need.minimum}` : counts.join(', ');
}

function wantedOf({ claim, minimum }: Need): number {
  return claim.count * minimum;
}

interface Pooled {
  readonly clusterName: string;
  readonly rooms: TypeRooms;
}

/** Sizes of memory that are tried for what no device has enough for, from the largest. */
const MEMORIES_TRIED_MAX = 16;

/** What could fit at most were everything free; see `CapacityAccount.largest`. */
export function largestIn(clusters: readonly ClusterRooms[], need: Need): ReturnType<CapacityAccount['largest']> {
  const pooled = clusters.flatMap(({ cluster, byType }): Pooled[] => {
    const rooms = byType.get(need.claim.deviceType);
    return rooms === undefined ? [] : [{ clusterName: cluster.name, rooms }];
  });
  return largestOf(pooled, need) ?? largestOfLessMemory(pooled, need);
}

function largestOf(pooled: readonly Pooled[], need: Need): ReturnType<CapacityAccount['largest']> {
  const each = pooled.map((at) => ({ ...at, members: mostMembers(at.rooms.empty, need, Infinity).members }));
  const best = each.toSorted((left, right) => right.members - left.members)[0];
  if (best !== undefined && best.members > 0) {
    const members = need.maySpan ? each.reduce((sum, at) => sum + at.members, 0) : best.members;
    return { members, devicesPerMember: need.claim.count, memoryBytes: null, clusterName: best.clusterName };
  }
  const singly = each
    .map(({ clusterName, rooms }) => ({ devicesPerMember: largestMember(rooms, need), clusterName }))
    .toSorted((left, right) => right.devicesPerMember - left.devicesPerMember)[0];
  return singly === undefined || singly.devicesPerMember === 0 ? null : { members: 1, memoryBytes: null, ...singly };
}

/** With the most memory of which there are enough devices; or else the most devices, whatever memory they have. */
function largestOfLessMemory(pooled: readonly Pooled[], need: Need): ReturnType<CapacityAccount['largest']> {
  const sizes = [...new Set(pooled.flatMap(({ rooms }) => rooms.pool.memories))].sort((left, right) => right - left);
  let most: ReturnType<CapacityAccount['largest']> = null;
  for (const memoryBytes of [...sizes.slice(0, MEMORIES_TRIED_MAX), ...sizes.slice(-1)]) {
    const largest = largestOf(pooled, { ...need, member: { ...need.member, memoryBytes } });
    if (largest === null) continue;
    most = { ...largest, memoryBytes };
    if (largest.devicesPerMember === need.claim.count && largest.members >= need.minimum) break;
  }
  return most;
}

function largestMember({ empty }: TypeRooms, need: Need): number {
  if (need.member.scope === 'link') return empty.largestLink(need.member);
  return mostMembers(empty, singles(need, need.member.scope)).members;
}
