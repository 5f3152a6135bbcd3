/**
 * What stands in the way of a queue's end, by name, for whoever wants to be rid of it. Asked under the queue's row lock:
 * whoever would name it from then on waits for the answer.
 */
import { type Deployment, isFinal, JOB_PHASES, type Job, type Queue, type Rows } from '#domain';

/** More are only said to be there. */
const NAMED_MAX = 5;

const FINAL = JOB_PHASES.filter(isFinal);
const ACTIVE = JOB_PHASES.filter((phase) => !isFinal(phase));

/**
 * A sentence, or null when nothing names it. Ended jobs do: they say where they ran for as long as they are kept.
 *
 * @param queues all of its tenant's
 */
export async function whatNamesQueue(rows: Rows, queue: Queue, queues: readonly Queue[]): Promise<string | null> {
  const { id, tenantId } = queue;
  const page = { tenantId, after: null, limit: NAMED_MAX + 1, queueId: id };
  const active = await rows.jobs.list({ ...page, phases: ACTIVE });
  const ended = await rows.jobs.list({ ...page, phases: FINAL });
  const deployments = (await rows.deployments.all()).filter(({ queueId }) => queueId === id);
  return wordsOf(queue, { below: queues.filter(({ parentId }) => parentId === id), active, ended, deployments });
}

interface Names {
  readonly below: readonly Pick<Queue, 'name'>[];
  readonly active: readonly Pick<Job, 'name'>[];
  readonly ended: readonly (Pick<Job, 'name' | 'endedAt'> & { readonly spec: Pick<Job['spec'], 'ttlSeconds'> })[];
  readonly deployments: readonly Pick<Deployment, 'name'>[];
}

/** Each of the lists may be cut at NAMED_MAX + 1. Pure. */
export function wordsOf(queue: Pick<Queue, 'name'>, { below, active, ended, deployments }: Names): string | null {
  const reasons = [
    some('queues below it', below),
    some('deployments', deployments),
    some('jobs that have not ended', active),
    ended.length === 0 ? null : `${some('ended jobs', ended)}, kept until ${untilOf(ended)} unless they are removed`,
  ].filter((reason) => reason !== null);
  return reasons.length === 0 ? null : `the queue ${queue.name} is still named by ${reasons.join('; ')}`;
}

function some(what: string, named: readonly { readonly name: string }[]): string | null {
  if (named.length === 0) return null;
  const names = named.slice(0, NAMED_MAX).map(({ name }) => name);
  return `${what} (${names.join(', ')}${named.length > NAMED_MAX ? ' and others' : ''})`;
}

/** The latest, to the second; those that were cut off may be kept longer. */
function untilOf(ended: Names['ended']): string {
  const latestMs = Math.max(...ended.map(expiryMs));
  const until = `${new Date(latestMs).toISOString().slice(0, 19)}Z`;
  return ended.length > NAMED_MAX ? `${until} or longer` : until;
}

/** As the store has it: an ended job is kept for its time to live. */
function expiryMs({ endedAt, spec }: Names['ended'][number]): number {
  return (endedAt?.getTime() ?? 0) + spec.ttlSeconds * 1_000;
}
