/**
 * A log that an agent keeps, asked of it piece by piece. Nothing of it is kept here.
 *
 * What cannot be begun is a problem, with the reason. What breaks later ends with a line of ours that says so, because an
 * answer that has begun has no other place for it. Following ends with what writes the log, when nobody listens any more,
 * and when this process stops.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { SUBJECTS, type TaskLogsReply, taskLogsReplySchema } from '#contracts';
import { type Cluster, isMember, RefusedError, refuse } from '#domain';
import { requestJson } from '#messaging';
import { RequestError } from '../errors.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';

const ANSWER_TIMEOUT_MS = 5_000;
const POLL_MS = 500;
/** A follower outlives an agent that restarts, not one that is gone. */
const SILENCE_MS_MAX = 60_000;

export interface LogSource {
  /** How a person names it: "count of rank 0". */
  readonly title: string;
  readonly cluster: Cluster;
  /** `task-logs`, `replica-logs` */
  readonly verb: string;
  /** The request for what follows a byte offset. */
  readonly requestFrom: (offset: number) => unknown;
  /** It writes no more, and its agent may have forgotten it. */
  readonly hasEnded: () => Promise<boolean>;
}

export interface LogWish {
  readonly follows: boolean;
  /** Only so much of the end; undefined: all that is kept. */
  readonly tailBytes: number | undefined;
}

@Injectable()
export class AgentLogs implements OnModuleDestroy {
  readonly #stopping = new AbortController();

  constructor(private readonly nats: ControlPlaneNats) {}

  onModuleDestroy(): void {
    this.#stopping.abort();
  }

  /**
   * Its pieces as they come. The first is asked for before this resolves.
   *
   * @throws RefusedError not-found, RequestError 503 when its cluster cannot be asked
   */
  async read(
    source: LogSource,
    { follows, tailBytes }: LogWish,
    listening: AbortSignal,
  ): Promise<AsyncGenerator<string>> {
    const first = await this.#begin(source, tailBytes === undefined ? 0 : -tailBytes);
    if (!first.found && (!follows || (await source.hasEnded()))) {
      throw new RefusedError(refuse.notFound('log', `${source.title}: ${first.reason}`));
    }
    const signal = AbortSignal.any([this.#stopping.signal, listening]);
    return follows ? this.#follow(source, first, signal) : this.#rest(source, first, signal);
  }

  /** To the end that it has now. */
  async *#rest(source: LogSource, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
    let reply = first;
    while (reply.found && reply.text !== '' && !signal.aborted) {
      yield reply.text;
      if (reply.isComplete) return;
      const next = await this.#ask(source, reply.next);
      if (typeof next === 'string') return yield brokenOff(next);
      reply = next;
    }
  }

  async *#follow(source: LogSource, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
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
        } else if (await source.hasEnded()) {
          return yield brokenOff(reply.reason);
        }
      }
      const isBehind = typeof reply !== 'string' && reply.found && reply.text !== '';
      if (!isBehind) await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) reply = await this.#ask(source, next);
    }
  }

  /** @throws RequestError 503 */
  async #begin(source: LogSource, offset: number): Promise<TaskLogsReply> {
    const { cluster } = source;
    if (!isMember(cluster.phase)) {
      throw unavailable(`Its cluster ${cluster.name} has left the fleet, and its log with it.`);
    }
    const reply = await this.#ask(source, offset);
    if (typeof reply !== 'string') return reply;
    throw unavailable(`${reply} Its log is there, and can be read once the cluster is back.`);
  }

  /** The answer, or why there is none. */
  async #ask({ cluster, verb, requestFrom }: LogSource, offset: number): Promise<TaskLogsReply | string> {
    try {
      const options = { timeoutMs: ANSWER_TIMEOUT_MS };
      const subject = SUBJECTS.rpc(cluster.id, verb);
      const answer = await requestJson(this.nats.connection, subject, requestFrom(offset), options);
      const parsed = taskLogsReplySchema.safeParse(answer);
      return parsed.success ? parsed.data : `Cluster ${cluster.name} answers what nobody understands; is it older?`;
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
