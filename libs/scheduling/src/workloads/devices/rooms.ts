/**
 * Where members of a shape fit in one pool, as the devices are held now or as if all were free. In the order of
 * preference: the narrowest domain of the topology; in it devices that are linked; in them the least memory that
 * suffices.
 */
import type { ResourceClaim, TopologyScope } from '#domain';
import type { Band, DevicePool } from './pool.ts';
import { Room, type Unit } from './room.ts';
import { SCOPES_BY_WIDTH } from './topology.ts';

/** Shapes of which counts are kept at once; at the bound all are forgotten, and counted anew as they are asked for. */
const ROOMS_MAX = 64;
/** More than any node, rack or cluster has devices. */
const COUNT_END = 2 ** 24;

/** What one member needs: the claim, with the gang's required scope where that is narrower. */
export interface MemberShape {
  readonly count: number;
  readonly memoryBytes: number;
  readonly scope: TopologyScope;
}

export interface Spot {
  readonly room: Room;
  readonly level: number;
  readonly domain: number;
  readonly members: number;
}

/** Level → the rooms to ask there, the most preferred first. */
type RoomsByLevel = (readonly Room[] | undefined)[];

export function shapeOf(claim: ResourceClaim, count = claim.count, scope?: TopologyScope): MemberShape {
  const own = claim.schedulingPolicy.topologyScope;
  return {
    count,
    memoryBytes: claim.memoryBytesPerDevice ?? 0,
    scope: scope === undefined ? own : narrower(own, scope),
  };
}

function narrower(left: TopologyScope, right: TopologyScope): TopologyScope {
  return SCOPES_BY_WIDTH.indexOf(left) <= SCOPES_BY_WIDTH.indexOf(right) ? left : right;
}

export class Rooms {
  private readonly rooms = new Map<string, Room>();
  private readonly byShape = new Map<number, RoomsByLevel>();

  /** `isWatching`: false for holdings that never change. */
  constructor(
    readonly pool: DevicePool,
    readonly holderOf: Int32Array,
    private readonly isWatching: boolean,
  ) {}

  /** The most preferred place for so many members within one domain at most as wide as `levelMax`. */
  find(shape: MemberShape, members: number, levelMax: number): Spot | null {
    for (let level = 0; level <= levelMax; level += 1) {
      const rooms = this.roomsAt(shape, level);
      for (let at = 0; at < rooms.length; at += 1) {
        const room = rooms[at]!;
        const domain = room.tightest(level, members);
        if (domain !== -1) return { room, level, domain, members };
      }
    }
    return null;
  }

  /** The most members that fit within one domain at `level`, and the domain. */
  most(shape: MemberShape, level: number): { readonly members: number; readonly domain: number } {
    let most = { members: 0, domain: -1 };
    for (const room of this.roomsAt(shape, level)) {
      const domain = room.roomiest(level);
      const members = domain === -1 ? 0 : room.membersIn(level, domain);
      if (members > most.members) most = { members, domain };
    }
    return most;
  }

  /** Whether, and where, one member fits into a domain that is given. */
  findIn(shape: MemberShape, level: number, domain: number): Spot | null {
    for (const room of this.roomsAt(shape, level)) {
      if (room.membersIn(level, domain) > 0) return { room, level, domain, members: 1 };
    }
    return null;
  }

  /** How much of its domain's room a spot uses, 0..1. */
  shareOf({ room, level, domain, members }: Spot): number {
    return room.shareOf(level, domain, members);
  }

  /** The most free devices in one link domain. Looks at every node. */
  largestLink({ memoryBytes }: MemberShape): number {
    const band = this.pool.bandsFrom(this.pool.gradeFor(memoryBytes)).at(-1);
    if (band === undefined) return 0;
    const counts = this.pool.topology.nodes.map((_, node) => this.pool.largestLink(node, band, this.holderOf));
    return counts.reduce((left, right) => Math.max(left, right), 0);
  }

  /** The slots of a spot, member after member. */
  slotsOf({ room, level, domain, members }: Spot): number[] {
    const { count, level: unitLevel } = room.unit;
    const slots: number[] = [];
    for (const piece of room.divide(level, domain, members)) {
      if (unitLevel === 0) this.pool.pick(piece.domain, room.band, piece.members, count, this.holderOf, slots);
      else this.spread(room.band, unitLevel, piece.domain, piece.members * count, slots);
    }
    return slots;
  }

  /** Devices over several nodes of a domain, as few as possible. */
  private spread(band: Band, level: number, domain: number, devices: number, into: number[]): void {
    const singles = this.room(band, { count: 1, level: 0, isLinked: false });
    for (const { domain: node, members } of singles.divide(level, domain, devices)) {
      this.pool.pick(node, band, 1, members, this.holderOf, into);
    }
  }

  private roomsAt(shape: MemberShape, level: number): readonly Room[] {
    const { count, memoryBytes, scope } = shape;
    if (count >= COUNT_END) return [];
    const low = this.pool.gradeFor(memoryBytes);
    const key = (low * SCOPES_BY_WIDTH.length + SCOPES_BY_WIDTH.indexOf(scope)) * COUNT_END + count;
    let byLevel = this.byShape.get(key);
    const known = byLevel?.[level];
    if (known !== undefined) return known;
    const rooms = this.makeRooms(shape, low, level);
    byLevel = this.byShape.get(key) ?? [];
    byLevel[level] = rooms;
    this.byShape.set(key, byLevel);
    return rooms;
  }

  private makeRooms({ count, scope }: MemberShape, low: number, level: number): Room[] {
    const units = this.unitsAt(count, scope, level);
    const bands = this.pool.bandsFrom(low);
    if (this.rooms.size + units.length * bands.length > ROOMS_MAX) this.forget();
    return units.flatMap((unit) => bands.map((band) => this.room(band, unit)));
  }

  /** What a member may be together in, where a domain at `level` is the widest allowed; none that is always too small. */
  private unitsAt(count: number, scope: TopologyScope, level: number): Unit[] {
    const widest = scope === 'link' && count > 1 ? -1 : Math.min(level, this.pool.topology.levelOf(scope));
    const units: Unit[] = [];
    if (count > 1 && this.pool.hasLinks) units.push({ count, level: 0, isLinked: true });
    for (let at = 0; at <= widest; at += 1) units.push({ count, level: at, isLinked: false });
    return units.filter((unit) => this.pool.largestAt(unit.level) >= count);
  }

  private room(band: Band, unit: Unit): Room {
    const key = `${band.low} ${band.high} ${unit.count} ${unit.level} ${unit.isLinked}`;
    const known = this.rooms.get(key);
    if (known !== undefined) return known;
    const room = new Room(this.pool, band, unit, this.holderOf);
    this.rooms.set(key, room);
    if (this.isWatching) this.pool.watch(room);
    return room;
  }

  private forget(): void {
    if (this.isWatching) for (const room of this.rooms.values()) this.pool.unwatch(room);
    this.rooms.clear();
    this.byShape.clear();
  }
}
