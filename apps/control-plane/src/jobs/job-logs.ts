/**
 * The log of one member of a job, asked of its agent piece by piece over `rpc.task-logs`. Nothing of it is kept here.
 *
 * What cannot be begun is a problem, with the reason. What breaks later ends with a line of ours that says so, because an
 * answer that has begun has no other place for it. Following ends with the member, when nobody listens any more, and when
 * this process stops.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import {
  type JobLogsQuery,
  SUBJECTS,
  TASK_LOG_ANSWER_BYTES_MAX,
  type TaskLogsReply,
  type TaskLogsRequest,
  taskLogsReplySchema,
} from '#contracts';
import { type Attempt, type Cluster, isMember, RefusedError, refuse, Store, taskIdOf } from '#domain';
import { requestJson } from '#messaging';
import { RequestError } from '../errors.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { findJob } from './jobs.ts';

const ANSWER_TIMEOUT_MS = 5_000;
const POLL_MS = 500;
/** A follower outlives an agent that restarts, not one that is gone. */
const SILENCE_MS_MAX = 60_000;

interface Source {
  readonly attempt: Attempt;
  readonly cluster: Cluster;
  readonly taskId: string;
}

@Injectable()
export class JobLogs implements OnModuleDestroy {
  readonly #stopping = new AbortController();

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
  ) {}

  onModuleDestroy(): void {
    this.#stopping.abort();
  }

  /**
   * Its pieces as they come. The first is asked for before this resolves.
   *
   * @throws RefusedError not-found or invalid, RequestError 503 when its cluster cannot be asked
   */
  async read(
    tenantId: string,
    name: string,
    query: JobLogsQuery,
    listening: AbortSignal,
  ): Promise<AsyncGenerator<string>> {
    const source = await this.#find(tenantId, name, query);
    const first = await this.#ask(source, query.tailBytes === undefined ? 0 : -query.tailBytes);
    const follows = query.follow === 'true';
    if (!first.found && !(follows && source.attempt.phase !== 'Ended')) {
      throw new RefusedError(refuse.notFound('log', `${name} of rank ${query.rank}: ${first.reason}`));
    }
    const signal = AbortSignal.any([this.#stopping.signal, listening]);
    return follows ? this.#follow(source, first, signal) : this.#rest(source, first, signal);
  }

  /** To the end that it has now. */
  async *#rest(source: Source, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
    let reply = first;
    while (reply.found && reply.text !== '' && !signal.aborted) {
      yield reply.text;
      if (reply.isComplete) return;
      const next = await this.#askAgain(source, reply.next);
      if (typeof next === 'string') return yield brokenOff(next);
      reply = next;
    }
  }

  async *#follow(source: Source, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
    let reply: TaskLogsReply | string = first;
    let next = first.found ? first.next : 0;
    let silentSinceMs: number | null = null;
    while (!signal.aborted) {
      if (typeof reply === 'string') {
        silentSinceMs ??= performance.now();
        if (performance.now() - silentSinceMs > SILENCE_MS_MAX) return yield brokenOff(reply);
      } else {
        silentSinceMs = null;
        if (reply.found) {
          next = reply.next;
          if (reply.text !== '') yield reply.text;
          if (reply.isComplete) return;
        } else if (await this.#hasEnded(source.attempt)) {
          return yield brokenOff(reply.reason);
        }
      }
      const isBehind = typeof reply !== 'string' && reply.found && reply.text !== '';
      if (!isBehind) await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) reply = await this.#askAgain(source, next);
    }
  }

  async #find(tenantId: string, name: string, { rank, attempt: number }: JobLogsQuery): Promise<Source> {
    const { read } = this.store;
    const job = await findJob(read, tenantId, name);
    const attempts = await read.attempts.ofJob(job.id);
    const attempt = attempts.find((each) => number === undefined || each.number === number);
    if (attempt === undefined) {
      const which = number === undefined ? 'attempt' : `attempt ${number}`;
      throw new RefusedError(refuse.notFound(`${which} of job`, name));
    }
    const task = attempt.tasks.find((each) => each.rank === rank);
    if (task === undefined) {
      const reason = `attempt ${attempt.number} has the ranks 0 to ${attempt.tasks.length - 1}`;
      throw new RefusedError(refuse.invalid('rank', reason));
    }
    const cluster = await read.clusters.find({ id: task.clusterId });
    if (cluster === null || !isMember(cluster.phase)) {
      throw unavailable(
        `Its cluster${cluster === null ? '' : ` ${cluster.name}`} has left the fleet, and its log with it.`,
      );
    }
    return { attempt, cluster, taskId: taskIdOf(attempt.id, rank) };
  }

  async #hasEnded({ id }: Attempt): Promise<boolean> {
    const attempt = await this.store.read.attempts.find(id);
    return attempt === null || attempt.phase === 'Ended';
  }

  /** @throws RequestError 503 */
  async #ask(source: Source, offset: number): Promise<TaskLogsReply> {
    const reply = await this.#askAgain(source, offset);
    if (typeof reply !== 'string') return reply;
    throw unavailable(`${reply} Its log is there, and can be read once the cluster is back.`);
  }

  /** The answer, or why there is none. */
  async #askAgain({ cluster, taskId }: Source, offset: number): Promise<TaskLogsReply | string> {
    const request: TaskLogsRequest = { taskId, offset, bytesMax: TASK_LOG_ANSWER_BYTES_MAX };
    try {
      const subject = SUBJECTS.rpc(cluster.id, 'task-logs');
      const options = { timeoutMs: ANSWER_TIMEOUT_MS };
      const answer = taskLogsReplySchema.safeParse(await requestJson(this.nats.connection, subject, request, options));
      return answer.success ? answer.data : `Cluster ${cluster.name} answers what nobody understands; is it older?`;
    } catch {
      return `Cluster ${cluster.name} does not answer.`;
    }
  }
}

function brokenOff(reason: string): string {
  return `\n[atoll] ${reason} The log ends here.\n`;
}

function unavailable(detail: string): RequestError {
  return new RequestError(503, 'unavailable', detail, { 'retry-after': '10' });
}
