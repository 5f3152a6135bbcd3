/** The log of one member of a job, which its agent keeps. */
import { Injectable } from '@nestjs/common';
import { type JobLogsQuery, TASK_LOG_ANSWER_BYTES_MAX, type TaskLogsRequest } from '#contracts';
import { type Attempt, isFinal, type Job, RefusedError, refuse, Store, taskIdOf } from '#domain';
import { AgentLogs, type LogSource } from '../agent-logs/agent-log.ts';
import { RequestError } from '../errors.ts';
import { findJob } from './jobs.ts';

@Injectable()
export class JobLogs {
  constructor(
    private readonly store: Store,
    private readonly logs: AgentLogs,
  ) {}

  /** Its pieces as they come. @throws RefusedError not-found or invalid, RequestError 404 or 503 when its cluster cannot be asked */
  async read(
    tenantId: string,
    name: string,
    query: JobLogsQuery,
    listening: AbortSignal,
  ): Promise<AsyncGenerator<string>> {
    const source = await this.#find(tenantId, name, query);
    return this.logs.read(source, { follows: query.follow === 'true', tailBytes: query.tailBytes }, listening);
  }

  async #find(tenantId: string, name: string, { rank, attempt: number }: JobLogsQuery): Promise<LogSource> {
    const { read } = this.store;
    const job = await findJob(read, tenantId, name);
    const attempts = await read.attempts.ofJob(job.id);
    const attempt = attempts.find((each) => number === undefined || each.number === number);
    if (attempt === undefined) throw new RequestError(404, 'not-found', whyNoAttempt(job, number));
    const task = attempt.tasks.find((each) => each.rank === rank);
    if (task === undefined) {
      const last = attempt.tasks.length - 1;
      const reason = `attempt ${attempt.number} has ${last === 0 ? 'only rank 0' : `the ranks 0 to ${last}`}`;
      throw new RefusedError(refuse.invalid('rank', reason));
    }
    const cluster = await read.clusters.find({ id: task.clusterId });
    if (cluster === null) {
      throw new RequestError(503, 'unavailable', 'Its cluster has left the fleet, and its log with it.');
    }
    const taskId = taskIdOf(attempt.id, rank);
    return {
      title: `${name} of rank ${rank}`,
      cluster,
      verb: 'task-logs',
      requestFrom: (offset): TaskLogsRequest => ({ taskId, offset, bytesMax: TASK_LOG_ANSWER_BYTES_MAX }),
      hasEnded: () => this.#hasEnded(attempt),
    };
  }

  async #hasEnded({ id }: Attempt): Promise<boolean> {
    const attempt = await this.store.read.attempts.find(id);
    return attempt === null || attempt.phase === 'Ended';
  }
}

function whyNoAttempt({ name, attempts, phase, reason }: Job, number: number | undefined): string {
  const job = `job ${JSON.stringify(name)}`;
  if (attempts > 0) return `There is no attempt ${number ?? attempts} of ${job} here; its newest is ${attempts}.`;
  const what = isFinal(phase) ? 'ended without having begun' : 'has not begun';
  return `There is no log: ${job} ${what}. It is ${phase}: ${reason}`;
}
