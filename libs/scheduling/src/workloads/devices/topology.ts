/**
 * The domains of one cluster: nodes in racks in zones in the cluster. Nodes are renumbered so that the nodes of a domain,
 * and the domains of a wider one, are neighbours; every domain is then a range.
 *
 * A node that names no rack is a rack of its own; a rack without a zone is a zone of its own. The same rack name in two
 * zones is two racks. Scopes that mean the same domains share one level: in a cluster without racks, `rack` is `node`.
 */
import type { Node, TopologyScope } from '#domain';

export const SCOPES_BY_WIDTH = ['link', 'node', 'rack', 'zone', 'cluster'] as const;

/** 0: nodes; the last: the cluster. */
interface Level {
  readonly scope: TopologyScope;
  /** Node → its domain. */
  readonly domainOf: Int32Array;
  readonly size: number;
  /** Domain → its first node; one more entry than domains. */
  readonly firstNode: Int32Array;
}

export class Topology {
  /** In the new numbering; a second node of the same name is left out. */
  readonly nodes: readonly Node[];
  private readonly levels: readonly Level[];
  private readonly levelOfScope: Readonly<Record<TopologyScope, number>>;
  private readonly numbers = new Map<string, number>();

  constructor(nodes: readonly Node[]) {
    this.nodes = inDomainOrder(nodes);
    this.nodes.forEach((node, index) => {
      this.numbers.set(node.name, index);
    });
    const levels: Level[] = [];
    const levelOfScope = { link: 0, node: 0, rack: 0, zone: 0, cluster: 0 };
    for (const scope of ['node', 'rack', 'zone', 'cluster'] as const) {
      const level = toLevel(scope, this.nodes);
      if (level.size !== levels.at(-1)?.size) levels.push(level);
      levelOfScope[scope] = levels.length - 1;
    }
    this.levels = levels;
    this.levelOfScope = levelOfScope;
  }

  /** The level of the whole cluster. */
  get top(): number {
    return this.levels.length - 1;
  }

  /** `link` is judged within nodes and has the level of them. */
  levelOf(scope: TopologyScope): number {
    return this.levelOfScope[scope];
  }

  /** The narrowest scope that a level stands for. */
  scopeAt(level: number): TopologyScope {
    return this.levels[level]!.scope;
  }

  sizeAt(level: number): number {
    return this.levels[level]!.size;
  }

  domainsAt(level: number): Int32Array {
    return this.levels[level]!.domainOf;
  }

  firstNode(level: number, domain: number): number {
    return this.levels[level]!.firstNode[domain]!;
  }

  /** The domain at `level` that is or contains the domain at the narrower level `inner`. */
  outer(level: number, inner: number, domain: number): number {
    return this.levels[level]!.domainOf[this.firstNode(inner, domain)]!;
  }

  /** The first of the domains of the level below that a domain consists of; that of the next domain is their end. */
  firstInner(level: number, domain: number): number {
    const node = this.firstNode(level, domain);
    if (node === this.nodes.length) return this.sizeAt(level - 1);
    return this.levels[level - 1]!.domainOf[node]!;
  }

  /** −1: no such node. */
  numberOf(nodeName: string): number {
    return this.numbers.get(nodeName) ?? -1;
  }

  /** Such as `rack r1`, `node n3`, `the cluster`. */
  nameOf(level: number, domain: number): string {
    const { scope } = this.levels[level]!;
    const node = this.nodes[this.firstNode(level, domain)]!;
    if (scope === 'cluster') return 'the cluster';
    return scope === 'node'
      ? `node ${node.name}`
      : `${scope} ${(scope === 'rack' ? node.rack : node.zone) ?? node.name}`;
  }
}

function rackKey({ name, rack, zone }: Node): string {
  return rack === undefined ? `node:${name}` : `rack:${zone ?? ''}/${rack}`;
}

function zoneKey(node: Node): string {
  return node.zone === undefined ? rackKey(node) : `zone:${node.zone}`;
}

const KEY_OF = { node: ({ name }: Node) => name, rack: rackKey, zone: zoneKey, cluster: () => '' } as const;

/** The domain of a node in a scope, as a text that is equal for two nodes of one domain. */
export function domainKey(scope: Exclude<TopologyScope, 'link'>, node: Node): string {
  return KEY_OF[scope](node);
}

/** Zones, and racks in them, in the order in which they first appear. */
function inDomainOrder(nodes: readonly Node[]): Node[] {
  const unique = [...new Map(nodes.toReversed().map((node) => [node.name, node])).values()].reverse();
  if (unique.every(({ rack, zone }) => rack === undefined && zone === undefined)) return unique;
  const zones = Map.groupBy(unique, zoneKey);
  return [...zones.values()].flatMap((inZone) => [...Map.groupBy(inZone, rackKey).values()].flat());
}

function toLevel(scope: Exclude<TopologyScope, 'link'>, nodes: readonly Node[]): Level {
  const domainOf = new Int32Array(nodes.length);
  const firsts: number[] = [];
  let previous: string | null = null;
  nodes.forEach((node, index) => {
    const key = domainKey(scope, node);
    if (key !== previous) firsts.push(index);
    previous = key;
    domainOf[index] = firsts.length - 1;
  });
  return { scope, domainOf, size: firsts.length, firstNode: Int32Array.from([...firsts, nodes.length]) };
}
