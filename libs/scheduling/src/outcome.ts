/** One sentence that says what was decided and, when something waits, for what. */
import type { Deployment } from '#domain';
import type { Candidate } from './candidates.ts';
import type { Standing } from './standing.ts';
import type { WorkingFleet } from './working-fleet.ts';

export interface OutcomeParts {
  readonly wanted: number;
  /** Kept or newly assigned replicas of the wanted version. */
  readonly placed: number;
  readonly assignedTo: readonly string[];
  readonly drained: number;
  readonly waiting: number;
  readonly candidates: readonly Candidate[];
  readonly standings: readonly Standing[];
  /** A strict rollout before its switch. */
  readonly beside: { readonly assign: readonly { readonly clusterName: string }[]; readonly words: string };
  /** What keeps replicas from being spread as demanded; empty: nothing. */
  readonly spread: string;
}

export function describeOutcome(fleet: WorkingFleet, deployment: Deployment, parts: OutcomeParts): string {
  const clauses: string[] = [];
  if (deployment.deletedAt !== null) {
    const left = parts.standings.filter(({ state }) => state !== 'ended').length;
    return left === 0
      ? 'deleted: nothing is left'
      : `being deleted: ${left} ${left === 1 ? 'replica is' : 'replicas are'} still to stop`;
  }
  clauses.push(`placed ${parts.placed}/${parts.wanted}`);
  if (parts.assignedTo.length > 0) clauses.push(`new in ${parts.assignedTo.join(', ')}`);
  if (parts.drained > 0) clauses.push(`draining ${parts.drained}`);
  const outgoing = parts.standings.filter(({ state }) => state === 'outgoing').length;
  const running = outgoing - parts.drained;
  if (running > 0)
    clauses.push(running === 1 ? '1 runs on until it is replaced' : `${running} run on until they are replaced`);
  const lost = parts.standings.filter(({ state }) => state === 'lost').length;
  if (lost > 0 && fleet.isMassUnknown) clauses.push(describeMassUnknown(fleet, lost));
  if (parts.waiting > 0) clauses.push(describeFit(parts.candidates));
  if (parts.spread !== '') clauses.push(parts.spread);
  const beside = parts.beside.assign.map(({ clusterName }) => clusterName);
  if (beside.length > 0) clauses.push(`the new version makes ready in ${beside.join(', ')}`);
  if (parts.beside.words !== '') clauses.push(parts.beside.words);
  return clauses.join('; ');
}

function describeMassUnknown(fleet: WorkingFleet, lost: number): string {
  const all = [...fleet.clusters.values()];
  const unknown = all.filter(({ cluster }) => cluster.phase === 'Unknown').length;
  const moved =
    lost === 1 ? 'the replica out of contact is not moved' : `${lost} replicas out of contact are not moved`;
  return `${unknown} of ${all.length} clusters are Unknown, so the fault is taken to be on this side and ${moved}`;
}

/** "0/12 clusters fit: 5 lack huawei.com/ascend-npu ×2 in one node, 4 Unknown, 3 outside region cn". */
export function describeFit(candidates: readonly Candidate[]): string {
  if (candidates.length === 0) return 'no cluster has joined yet';
  const fitting = candidates.filter(({ rejection }) => rejection === null).length;
  const words = countReasons(candidates);
  return `${fitting}/${candidates.length} clusters fit${words === '' ? '' : `: ${words}`}`;
}

/** "5 lack huawei.com/ascend-npu ×2 in one node, 1 has no free cpu ×1 in one node, 4 Unknown"; empty when all fit. */
export function countReasons(candidates: readonly Candidate[]): string {
  const counts = new Map<string, number>();
  for (const { rejection } of candidates) {
    if (rejection !== null) counts.set(rejection.summary, (counts.get(rejection.summary) ?? 0) + 1);
  }
  const reasons = [...counts].sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1));
  return reasons.map(([summary, count]) => `${count} ${count === 1 ? ofOne(summary) : summary}`).join(', ');
}

/** Summaries are written for many. */
function ofOne(summary: string): string {
  return summary.replace(/^have /, 'has ').replace(/^lack /, 'lacks ');
}
