/** Judges every cluster for one more replica of a deployment, and selects the best: filter → score → select. */
import type { CandidateVerdict, Deployment } from '#domain';
import { FILTERS } from './filters.ts';
import { scoreCluster } from './scorers.ts';
import type { Rejection } from './selector-filters.ts';
import type { WorkingCluster, WorkingFleet } from './working-fleet.ts';

export interface Candidate {
  readonly verdict: CandidateVerdict;
  readonly rejection: Rejection | null;
}

/** In the order of the snapshot's clusters. `avoid` adds clusters to those in which it lately failed. */
export function judgeCandidates(fleet: WorkingFleet, deployment: Deployment, avoid: string[] = []): Candidate[] {
  const failedIn = new Set([...fleet.failedIn(deployment.id), ...avoid]);
  return [...fleet.clusters.values()].map((here) => judge(fleet, here, deployment, failedIn));
}

/** One cluster alone. */
export function judgeOneCluster(fleet: WorkingFleet, deployment: Deployment, here: WorkingCluster): Candidate {
  return judge(fleet, here, deployment, fleet.failedIn(deployment.id));
}

/** After an assignment: only the cluster that took it stands otherwise than before. */
export function judgeAgain(
  fleet: WorkingFleet,
  deployment: Deployment,
  candidates: readonly Candidate[],
  clusterId: string,
): Candidate[] {
  const here = fleet.clusters.get(clusterId)!;
  const again = judgeOneCluster(fleet, deployment, here);
  return candidates.map((candidate) => (candidate.verdict.clusterId === clusterId ? again : candidate));
}

function judge(
  fleet: WorkingFleet,
  here: WorkingCluster,
  deployment: Deployment,
  failedIn: ReadonlySet<string>,
): Candidate {
  const { id: clusterId, name: clusterName } = here.cluster;
  for (const filter of FILTERS) {
    const rejection = filter.reject(here, deployment, failedIn);
    if (rejection === null) continue;
    const refused = { score: null, scores: {}, rejectedBecause: rejection.because, rejectedBy: filter.name };
    return { verdict: { clusterId, clusterName, ...refused }, rejection };
  }
  const { total, scores } = scoreCluster(here, deployment, fleet.digestOf(deployment, clusterId));
  return {
    verdict: { clusterId, clusterName, score: total, scores, rejectedBecause: null, rejectedBy: null },
    rejection: null,
  };
}

/** The accepted candidate with the highest score; equal ones by a stable hash, so that not every tie goes to one cluster. */
export function selectBest(candidates: readonly Candidate[], deploymentId: string): CandidateVerdict | null {
  let best: CandidateVerdict | null = null;
  for (const { verdict } of candidates) {
    if (verdict.score === null) continue;
    if (best === null || isBetter(verdict, best, deploymentId)) best = verdict;
  }
  return best;
}

function isBetter(left: CandidateVerdict, right: CandidateVerdict, deploymentId: string): boolean {
  if (left.score !== right.score) return left.score! > right.score!;
  const leftHash = stableHash(deploymentId + left.clusterId);
  const rightHash = stableHash(deploymentId + right.clusterId);
  return leftHash === rightHash ? left.clusterId < right.clusterId : leftHash < rightHash;
}

/** FNV-1a, 32 bits: the same text gives the same number in every process. */
export function stableHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}
