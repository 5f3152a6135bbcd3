/**
 * What a workload asks of one cluster, and where in it that fits: a gang of `minimum` to `size` members, each with its
 * claim, all of them within one domain of a scope. A gang that must share one link domain is one large member.
 */
import type { ResourceClaim, TopologyScope } from '#domain';
import type { PlaceRequest } from '../ports.ts';
import { type MemberShape, type Rooms, type Spot, shapeOf } from './rooms.ts';

/** Needs that are remembered; at the bound all are forgotten. */
export const NEEDS_MAX = 256;

export interface Need {
  /** 0 … NEEDS_MAX − 1; another need may get the same one later. */
  readonly number: number;
  readonly claim: ResourceClaim;
  readonly member: MemberShape;
  /** The widest scope that all members may be spread over. */
  readonly scope: TopologyScope;
  readonly size: number;
  readonly minimum: number;
  /** All members within one link domain. */
  readonly isLinked: boolean;
  /** Members may be in several clusters; never where all must share a domain. */
  readonly maySpan: boolean;
}

function needOf({ claim, gang }: Pick<PlaceRequest, 'claim' | 'gang'>, number: number): Need {
  const required = gang.topology?.required === true ? gang.topology.scope : undefined;
  const member = shapeOf(claim, claim.count, required);
  return {
    number,
    claim,
    member,
    scope: gang.size === 1 ? member.scope : (required ?? 'cluster'),
    size: gang.size,
    minimum: gang.minimum,
    isLinked: required === 'link' && gang.size > 1,
    maySpan: gang.spansClusters && required === undefined,
  };
}

/** Equal needs as one object, so that answers can be kept by need. */
export class Needs {
  private readonly byText = new Map<string, Need>();

  of(request: Pick<PlaceRequest, 'claim' | 'gang'>): Need {
    const text = textOf(request);
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    if (this.byText.size === NEEDS_MAX) this.byText.clear();
    const need = needOf(request, this.byText.size);
    this.byText.set(text, need);
    return need;
  }
}

function textOf({ claim, gang }: Pick<PlaceRequest, 'claim' | 'gang'>): string {
  const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
  const each = `${deviceType} ${count} ${memoryBytesPerDevice} ${schedulingPolicy.topologyScope}`;
  if (gang.size === 1 && gang.topology === null) return each;
  const { size, minimum, topology, spansClusters } = gang;
  return `${each} ${size} ${minimum} ${topology?.scope} ${topology?.required} ${spansClusters}`;
}

/** Members of a claim that are in one cluster already, wherever in it. */
export function needOfMembers(claim: ResourceClaim, size: number): Need {
  return needOf({ claim, gang: { size, minimum: 1, topology: null, spansClusters: false } }, 0);
}

/** Where exactly so many members fit together; null: nowhere. */
export function findSpot(rooms: Rooms, need: Need, members: number): Spot | null {
  if (need.isLinked) return rooms.find(asOne(need, members), 1, 0);
  return rooms.find(need.member, members, rooms.pool.topology.levelOf(need.scope));
}

/** How many members fit together, and where the most do. `end`: what is counted up to, where a gang is one member. */
export function mostMembers(
  rooms: Rooms,
  need: Need,
  end = need.size,
): { readonly members: number; readonly domain: number } {
  const { topology, nodeMax } = rooms.pool;
  if (!need.isLinked) return rooms.most(need.member, topology.levelOf(need.scope));
  for (let members = Math.min(end, Math.floor(nodeMax / need.member.count)); members > 0; members -= 1) {
    const spot = rooms.find(asOne(need, members), 1, 0);
    if (spot !== null) return { members, domain: spot.domain };
  }
  return { members: 0, domain: -1 };
}

function asOne({ member }: Need, members: number): MemberShape {
  return { ...member, count: member.count * members };
}
