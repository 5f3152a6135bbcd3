/**
 * Request → candidates: which ready replicas may answer, and why the others may not.
 *
 * Pure. The caller brings the routes, a judgement of every cluster's life, and which paths are open; nothing here reads
 * a clock. Every replica that is left out has a reason, so that a 503 can say what is wrong (DESIGN §7.9).
 */
import type { RouteCluster, RouteDeployment, RouteReplica } from '#domain';

export const PATHS = ['direct', 'dialled'] as const;
/** direct: the gateway dials an address that the cluster advertises; dialled: over a socket that the agent dialled. */
export type Path = (typeof PATHS)[number];

export interface Candidate {
  readonly replica: RouteReplica;
  readonly cluster: RouteCluster;
  readonly deployment: RouteDeployment;
  readonly path: Path;
}

export interface CandidateFilters {
  /** Why a cluster may not be used now ("silent for 4 s", "cordoned by breaker"), or null. */
  readonly clusterProblem: (cluster: RouteCluster) => string | null;
  /** Why a replica may not be used now (breaker open), or null. */
  readonly replicaProblem: (replicaId: string) => string | null;
  /** The paths that are open to a cluster now, best first. */
  readonly openPaths: (cluster: RouteCluster) => readonly Path[];
  /** Replicas that this request already tried. */
  readonly tried: ReadonlySet<string>;
  /** Replicas of versions with a lower number are left out; 0: any version will do. */
  readonly versionNumberMin: number;
}

export interface CandidateSet {
  readonly candidates: readonly Candidate[];
  /** Reason → how many replicas it ruled out. */
  readonly rejected: ReadonlyMap<string, number>;
}

/** Clusters already tried are left out while another cluster can answer: what broke one replica often breaks its neighbours. */
export function findCandidates(
  deployments: readonly RouteDeployment[],
  clusters: ReadonlyMap<string, RouteCluster>,
  filters: CandidateFilters,
): CandidateSet {
  const candidates: Candidate[] = [];
  const rejected = new Map<string, number>();
  const triedClusters = new Set<string>();
  for (const deployment of deployments) {
    for (const replica of deployment.replicas) {
      if (filters.tried.has(replica.replicaId)) triedClusters.add(replica.clusterId);
    }
  }
  for (const deployment of deployments) {
    for (const replica of deployment.replicas) {
      const cluster = clusters.get(replica.clusterId);
      const verdict = judge(replica, cluster, filters);
      if (typeof verdict === 'string') rejected.set(verdict, (rejected.get(verdict) ?? 0) + 1);
      else candidates.push({ replica, cluster: verdict.cluster, deployment, path: verdict.path });
    }
  }
  const fresh = candidates.filter((candidate) => !triedClusters.has(candidate.cluster.id));
  return { candidates: fresh.length > 0 ? fresh : candidates, rejected };
}

function judge(
  replica: RouteReplica,
  cluster: RouteCluster | undefined,
  filters: CandidateFilters,
): string | { cluster: RouteCluster; path: Path } {
  if (cluster === undefined) return 'its cluster is not in the routes';
  if (!replica.ready) return 'not ready';
  if (filters.tried.has(replica.replicaId)) return 'already tried';
  if (replica.versionNumber < filters.versionNumberMin) return belowWanted(replica, filters.versionNumberMin);
  const clusterProblem = filters.clusterProblem(cluster);
  if (clusterProblem !== null) return clusterProblem;
  const replicaProblem = filters.replicaProblem(replica.replicaId);
  if (replicaProblem !== null) return replicaProblem;
  const path = filters.openPaths(cluster)[0];
  return path === undefined ? 'no open path to its cluster' : { cluster, path };
}

function belowWanted({ versionNumber }: RouteReplica, wanted: number): string {
  if (versionNumber === 0) return `of a version whose number is not known, ${wanted} is wanted`;
  return `version ${versionNumber} is below the wanted ${wanted}`;
}

/** "2 not ready, 1 silent for more than 3 s", most frequent first; empty when nothing was ruled out. */
export function describeRejections(rejected: ReadonlyMap<string, number>): string {
  return [...rejected]
    .sort((left, right) => right[1] - left[1] || (left[0] < right[0] ? -1 : 1))
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
}
