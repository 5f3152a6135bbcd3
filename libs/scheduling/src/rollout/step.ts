/**
 * What a rollout does next. The loop that asks commits the answer and asks again; asked twice, the answer is the same.
 *
 * Waves open in order, each once all before it serve and have soaked. Clusters that are silent hold a wave up and are
 * named, until the deployment gives them up (`disconnect.lostAfterSeconds`): then the rollout goes on without them, and they
 * get the new version when they are back. What is worse than the version before ends the rollout, paused or not. A version
 * that cannot be fetched is waited for: nothing of it serves yet, so nothing is taken back.
 */
import type { RolloutWave } from '#domain';
import { abortReason } from './abort.ts';
import type { RolloutCluster, RolloutFacts, RolloutReplica } from './facts.ts';
import { openWave } from './waves.ts';

/** `reason`: one sentence, stable while nothing changes. */
export type RolloutStep =
  /** `wave`: its 0-based index. `clusterIds`: all that are open then. */
  | {
      readonly step: 'open-wave';
      readonly wave: number;
      readonly clusterIds: readonly string[];
      readonly isOpenToAll: boolean;
      readonly reason: string;
    }
  /** Every replica of the newest wave serves: `waveReadyAt` is now. */
  | { readonly step: 'wave-ready'; readonly reason: string }
  /** Strict: the new version takes all traffic from now on. */
  | { readonly step: 'switch'; readonly reason: string }
  | { readonly step: 'complete'; readonly reason: string }
  | { readonly step: 'pause'; readonly reason: string }
  | { readonly step: 'abort'; readonly reason: string }
  | { readonly step: 'wait'; readonly reason: string };

/** The next step of an active rollout. A paused one only ever aborts or waits. */
export function stepRollout(facts: RolloutFacts): RolloutStep {
  const { rollout } = facts;
  const worse = abortReason(facts);
  if (worse !== null) return { step: 'abort', reason: worse };
  if (rollout.phase === 'Paused') return { step: 'wait', reason: rollout.reason };
  return proceed(facts, false);
}

/**
 * What resuming a paused rollout does besides making it Progressing: when the pause was that of its wave's `pauseAfter`,
 * the next wave opens; else it waits for what it waited for.
 */
export function resumeRollout(facts: RolloutFacts): RolloutStep {
  const worse = abortReason(facts);
  return worse === null ? proceed(facts, true) : { step: 'abort', reason: worse };
}

function proceed(facts: RolloutFacts, isResumed: boolean): RolloutStep {
  const { rollout, nowMs } = facts;
  const { policy, wave, isOpenToAll, isSwitched, waveReadyAt } = rollout;
  // 1 Nothing runs: there is nothing to try it on, and nobody to disturb.
  if (facts.replicas.length === 0 && !isOpenToAll) return open(facts, policy.waves.length - 1);
  if (wave < 0) return open(facts, 0);

  // 2 The newest wave gets there.
  const pending = pendingIn(facts);
  if (pending.length > 0) return { step: 'wait', reason: `${nameOf(facts)} waits for ${sentence(pending, facts)}` };
  if (isOpenToAll && policy.consistency === 'strict' && !isSwitched)
    return { step: 'switch', reason: 'all new replicas are ready: the new version takes all traffic' };
  if (waveReadyAt === null) return { step: 'wave-ready', reason: `${nameOf(facts)} serves` };

  // 3 It soaks.
  const { soakSeconds, pauseAfter } = policy.waves[wave]!;
  const soakedMs = waveReadyAt.getTime() + soakSeconds * 1_000;
  if (nowMs < soakedMs) return { step: 'wait', reason: `${nameOf(facts)} serves and soaks for ${soakSeconds} s` };

  // 4 The next, or the end.
  if (isOpenToAll) return { step: 'complete', reason: 'every replica runs the new version' };
  if (pauseAfter && !isResumed)
    return { step: 'pause', reason: `${nameOf(facts)} is done; resume to open the next one` };
  return open(facts, wave + 1);
}

function open({ rollout, clusters, replicas }: RolloutFacts, index: number): RolloutStep {
  const holding = new Set(replicas.map(({ clusterId }) => clusterId));
  // A canary that nobody hears would pass its wave untried.
  const holds = ({ id, contact }: RolloutCluster) => holding.has(id) && contact !== 'gone';
  const candidates = clusters.map((cluster) => ({ ...cluster, holds: holds(cluster) }));
  const { clusterIds, isOpenToAll } = openWave(rollout, index, candidates);
  const names = new Map(clusters.map(({ id, name }) => [id, name]));
  const opened = clusterIds.filter((id) => !rollout.openClusterIds.includes(id)).map((id) => names.get(id) ?? id);
  const where = isOpenToAll ? 'every cluster' : opened.length === 0 ? 'no further cluster' : list(opened);
  const reason = `wave ${index + 1} of ${rollout.policy.waves.length} is open to ${where}`;
  return { step: 'open-wave', wave: index, clusterIds, isOpenToAll, reason };
}

/** What is still to come in open clusters, a sentence each: `c1: 1 of 2 replicas …`. In the clusters' order by name. */
function pendingIn(facts: RolloutFacts): string[] {
  const { rollout, clusters, replicas } = facts;
  const byCluster = Map.groupBy(replicas, ({ clusterId }) => clusterId);
  const isOpen = ({ id }: RolloutCluster) => rollout.isOpenToAll || rollout.openClusterIds.includes(id);
  const inOrder = clusters.filter(isOpen).sort(({ name: left }, { name: right }) => (left < right ? -1 : 1));
  return inOrder.flatMap((cluster) => {
    const here = byCluster.get(cluster.id) ?? [];
    if (here.length === 0 || cluster.contact === 'gone') return [];
    const words = pendingWords(facts, cluster, here);
    return words === null ? [] : [`${cluster.name}: ${words}`];
  });
}

function pendingWords({ rollout }: RolloutFacts, cluster: RolloutCluster, here: readonly RolloutReplica[]) {
  const { policy, isSwitched, toVersionId } = rollout;
  const next = here.filter(({ versionId }) => versionId === toVersionId);
  const ready = next.filter(({ phase }) => phase === 'Ready').length;
  const old = here.length - next.length;
  const isSideBySide = policy.consistency === 'strict' && !isSwitched;
  // Old and new stand side by side for a while: each new one is the place of one old one.
  const wanted = Math.max(old, next.length);
  const isDone = ready === wanted && (isSideBySide || old === 0);
  if (isDone && cluster.contact === 'present') return null;
  if (cluster.contact === 'silent') return 'out of contact';
  if (cluster.syncFailure !== null) return `the new version cannot be fetched: ${cluster.syncFailure}`;
  const failing = next.find(({ phase }) => phase === 'Failed');
  const failed =
    failing === undefined ? '' : `, one failed ${failing.restarts} times: ${failing.reason || 'no reason'}`;
  if (ready === next.length && !isSideBySide)
    return `${old} old ${old === 1 ? 'replica is' : 'replicas are'} still to go`;
  return `${ready} of ${wanted} new replicas are ready${failed}`;
}

function nameOf({ rollout }: RolloutFacts): string {
  return `wave ${rollout.wave + 1} of ${rollout.policy.waves.length}`;
}

function sentence(pending: readonly string[], { waiting }: RolloutFacts): string {
  return waiting === null ? list(pending) : `${list(pending)} (${waiting})`;
}

const NAMED_MAX = 3;

function list(words: readonly string[]): string {
  if (words.length <= NAMED_MAX) return words.join(', ');
  return `${words.slice(0, NAMED_MAX).join(', ')} and ${words.length - NAMED_MAX} more`;
}

/** Of a policy, for people: which clusters a wave names. */
export function describeWave({ clusterNames, labels, percent }: RolloutWave): string {
  if (clusterNames !== undefined) return list(clusterNames);
  if (labels !== undefined)
    return Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(', ');
  return `${percent ?? 100} % of the clusters`;
}
