// How a drain stands: what is left in the cluster, and what each of it waits for.

import type { ClusterDrainDto } from '#contracts';
import { type Attempt, type Cluster, type ClusterDrain, drainStage, type Placement, type Rows } from '#domain';

export interface DrainFacts {
  readonly cluster: Pick<Cluster, 'name' | 'phase'>;
  readonly drain: ClusterDrain;
  /** Live ones in the cluster. */
  readonly placements: readonly Pick<Placement, 'deploymentId' | 'phase'>[];
  /** Live ones with a task in the cluster. */
  readonly attempts: readonly Pick<Attempt, 'jobId'>[];
  /** Replicas that run there by its newest report, and that nothing here knows. */
  readonly unknownReplicas: number;
  readonly deploymentNames: ReadonlyMap<string, string>;
  readonly jobNames: ReadonlyMap<string, string>;
  /** Deployment id → its newest decision, in one sentence. */
  readonly outcomes: ReadonlyMap<string, string>;
}

export async function readDrain(rows: Rows, cluster: Cluster): Promise<ClusterDrainDto | null> {
  const { id, drain } = cluster;
  if (drain === null) return null;
  const placements = await rows.placements.live({ clusterId: id });
  const attempts = await rows.attempts.live({ clusterId: id });
  const report = (await rows.observations.find(id))?.report;
  const deploymentIds = [...new Set(placements.map(({ deploymentId }) => deploymentId))];
  const decisions = await rows.decisions.newestOf(deploymentIds);
  const jobs = await rows.jobs.findAll([...new Set(attempts.map(({ jobId }) => jobId))]);
  const known = new Set(placements.map((placement) => placement.id));
  const running = (report?.replicas ?? []).filter(({ phase }) => phase !== 'Stopped');
  return describeDrain(
    {
      ...{ cluster, drain, placements, attempts },
      unknownReplicas: running.filter(({ replicaId }) => !known.has(replicaId)).length,
      deploymentNames: await namesOfDeployments(rows, deploymentIds),
      jobNames: new Map(jobs.map((job) => [job.id, job.name])),
      outcomes: new Map(decisions.map(({ subjectId, outcome }) => [subjectId, outcome])),
    },
    await rows.clock.now(),
  );
}

/** Pure. */
export function describeDrain(facts: DrainFacts, now: Date): ClusterDrainDto {
  const { drain, placements, attempts, unknownReplicas } = facts;
  const stage = drainStage(drain, now.getTime())!;
  const [replicasLeft, attemptsLeft] = [placements.length + unknownReplicas, attempts.length];
  const isDone = replicasLeft + attemptsLeft === 0;
  const left = [count(replicasLeft, 'replica'), count(attemptsLeft, 'attempt of a job', 'attempts of jobs')].filter(
    Boolean,
  );
  const { mode, deadlineSeconds, since, requestedBy } = drain;
  return {
    ...{ mode, deadlineSeconds, since, requestedBy, stage, isDone, replicasLeft, attemptsLeft },
    status: isDone ? 'Drained; nothing runs here.' : `Being drained (${mode}): ${left.join(' and ')} left.`,
    blockedBy: isDone ? [] : blockers(facts, stage, now),
  };
}

function blockers(facts: DrainFacts, stage: ClusterDrainDto['stage'], now: Date): string[] {
  const { cluster, drain, placements, attempts, unknownReplicas, jobNames } = facts;
  const words: string[] = [];
  if (cluster.phase === 'Suspect' || cluster.phase === 'Unknown') {
    words.push(`${cluster.name} is out of contact; what has ended there is known once it is heard again`);
  }
  if (stage === 'hold')
    words.push(`until its deadline, in ${untilDeadline(drain, now)}, replicas stay and jobs run on`);
  const byDeployment = Map.groupBy(placements, ({ deploymentId }) => deploymentId);
  for (const [id, own] of stage === 'hold' ? [] : byDeployment) words.push(describeReplicas(facts, id, own));
  for (const { jobId } of attempts) {
    const name = jobNames.get(jobId) ?? jobId;
    words.push(stage === 'hold' ? `job ${name} runs` : `job ${name} saves what it can, and is queued again`);
  }
  if (unknownReplicas > 0) {
    words.push(`${count(unknownReplicas, 'replica')} that nobody here asked for; its agent ends them by itself`);
  }
  return words;
}

function describeReplicas(facts: DrainFacts, deploymentId: string, own: DrainFacts['placements']): string {
  const name = facts.deploymentNames.get(deploymentId) ?? deploymentId;
  const ending = own.filter(({ phase }) => phase === 'Draining').length;
  if (ending === own.length) return `${name}: ${count(ending, 'replica')} finishing what is in flight`;
  const outcome = facts.outcomes.get(deploymentId) ?? 'nothing has been decided yet';
  return `${name}: ${count(own.length - ending, 'replica')} waiting for another place to serve (${outcome})`;
}

function untilDeadline({ since, deadlineSeconds }: ClusterDrain, now: Date): string {
  const seconds = Math.max(0, Math.ceil((Date.parse(since) - now.getTime()) / 1_000 + deadlineSeconds));
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

function count(number: number, one: string, many = `${one}s`): string {
  return number === 0 ? '' : `${number} ${number === 1 ? one : many}`;
}

/** Those that are gone are left out. */
export async function namesOfDeployments(rows: Rows, ids: readonly string[]): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const id of ids) {
    const deployment = await rows.deployments.find({ id });
    if (deployment !== null) names.set(id, deployment.name);
  }
  return names;
}
