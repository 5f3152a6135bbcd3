// What this agent knows of a replica before it looks into its ledger, and from where: labels and memory from the inventory
// and the devices that it holds, adapters from what was loaded, the cache and the requests of others from what its engine
// said within the last 3 s. What is not known is absent and speaks neither for nor against it.
import type { Labels, Node } from '#domain';
import type { ForeignRequests, ReplicaFacts } from '#routing';
import type { EngineLoad } from '../engines/engine-adapter.ts';
import type { Replica } from '../engines/replica.ts';

export type KnownReplica = Pick<
  Replica,
  | 'replicaId'
  | 'deploymentId'
  | 'versionDigest'
  | 'adapters'
  | 'devices'
  | 'engine'
  | 'inflightOfLate'
  | 'instance'
  | 'slots'
>;

/**
 * `load`: as its engine told of late; null: it did not. `nodes`: by name. `all`: whatever else is here, for replicas may share an engine.
 * An agent's replicas are always loaded: what starts is not Ready.
 */
export function replicaFacts(
  replica: KnownReplica,
  load: EngineLoad | null,
  nodes: ReadonlyMap<string, Node>,
  all: () => Iterable<KnownReplica>,
): ReplicaFacts {
  const { replicaId, adapters, slots, devices = [] } = replica;
  const foreign = load === null ? undefined : foreignRequests(replica, load, all);
  return {
    id: replicaId,
    isCordoned: false,
    labels: labelsOf(devices.map(({ node }) => nodes.get(node)?.labels ?? {})),
    isLoaded: true,
    coldStartMs: 0,
    holds: adapters,
    ...memoryOf(devices, load?.cacheUsage, nodes),
    ...(slots === undefined ? {} : { slots }),
    ...(foreign === undefined ? {} : { foreign }),
  };
}

/** That all of them have. */
function labelsOf([first = {}, ...others]: readonly Labels[]): Labels {
  if (others.length === 0) return first;
  return Object.fromEntries(
    Object.entries(first).filter(([name, value]) => others.every((labels) => labels[name] === value)),
  );
}

/** Of its devices, less what its cache takes of them: an upper bound, for the weights are in there too. */
function memoryOf(
  devices: NonNullable<Replica['devices']>,
  cacheUsage: number | undefined,
  nodes: ReadonlyMap<string, Node>,
): Pick<ReplicaFacts, 'freeMemoryBytes' | 'memoryBytes'> {
  if (cacheUsage === undefined) return {};
  const held = devices.flatMap(({ node, deviceIds }) => {
    const known = nodes.get(node)?.devices ?? [];
    return deviceIds.map((id) => known.find((device) => device.id === id)?.memoryBytes ?? 0);
  });
  if (held.length === 0 || held.includes(0)) return {};
  const memoryBytes = held.reduce((sum, each) => sum + each, 0);
  return { memoryBytes, freeMemoryBytes: memoryBytes * (1 - cacheUsage) };
}

/**
 * What an engine has beyond what was given to it of late through replicas that stand in for each other, for that stands in
 * their ledger. Only of an engine that is no process of this agent's own, since nobody else asks those. How many of the
 * others run and how many wait is taken to be as it is of all.
 */
function foreignRequests(
  { deploymentId, versionDigest, engine, instance }: KnownReplica,
  { running = 0, waiting = 0 }: EngineLoad,
  all: () => Iterable<KnownReplica>,
): ForeignRequests | undefined {
  if (instance?.processId !== undefined || running + waiting === 0) return undefined;
  let own = 0;
  for (const each of all()) {
    const isStandIn = each.deploymentId === deploymentId && each.versionDigest === versionDigest;
    if (isStandIn && each.engine === engine) own += each.inflightOfLate;
  }
  const share = Math.max(0, 1 - own / (running + waiting));
  return share === 0 ? undefined : { running: running * share, waiting: waiting * share };
}
