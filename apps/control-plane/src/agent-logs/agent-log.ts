/**
 * A log that an agent keeps, asked of it piece by piece. Nothing of it is kept here.
 *
 * What cannot be begun is a problem, with the reason. What breaks later ends with a line of ours that says so, because an
 * answer that has begun has no other place for it. Following ends with what writes the log, when nobody listens any more,
 * and when this process stops. So many follow at once, of all and of one cluster, whose agent answers each of them twice a
 * second; whoever comes then is asked to come again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { SUBJECTS, type TaskLogsReply, taskLogsReplySchema } from '#contracts';
import { type Cluster, isMember, RefusedError, refuse, Store } from '#domain';
import { MessagingError, requestJson } from '#messaging';
import { RequestError } from '../errors.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';

const ANSWER_TIMEOUT_MS = 5_000;
const THERE_TIMEOUT_MS = 300;
const POLL_MS = 500;
/** A follower outlives an agent that restarts, not one that is gone. */
const SILENCE_MS_MAX = 60_000;
/** Of this process. */
const FOLLOWERS_MAX = 256;
const CLUSTER_FOLLOWERS_MAX = 64;

/** No answer, and why: nobody listens on the subject, or whoever does says nothing that is understood. */
interface Unanswered {
  readonly why: 'nobody' | 'silence' | 'not-understood';
}

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
  /** Who listens → the cluster whose log it is. */
  readonly #followers = new Map<AbortSignal, string>();

  constructor(
    private readonly nats: ControlPlaneNats,
    private readonly store: Store,
  ) {}

  onModuleDestroy(): void {
    this.#stopping.abort();
  }

  /**
   * Its pieces as they come. The first is asked for before this resolves.
   *
   * @param listening must abort once nobody listens any more, whatever came of it
   * @throws RefusedError not-found, RequestError 503 when its cluster cannot be asked, or too many follow
   */
  async read(source: LogSource, wish: LogWish, listening: AbortSignal): Promise<AsyncGenerator<string>> {
    if (wish.follows) this.#admit(source.cluster, listening);
    const { follows, tailBytes } = wish;
    const first = await this.#begin(source, tailBytes === undefined ? 0 : -tailBytes);
    if (!first.found && (!follows || (await source.hasEnded()))) {
      throw new RefusedError(refuse.notFound('log', `${source.title}: ${first.reason}`));
    }
    const signal = AbortSignal.any([this.#stopping.signal, listening]);
    return follows ? this.#follow(source, first, signal) : this.#rest(source, first, signal);
  }

  /** Until `listening` aborts: a generator that nobody begins to read has no end of its own. @throws RequestError 503 */
  #admit({ id, name }: Cluster, listening: AbortSignal): void {
    if (listening.aborted) return;
    const ofCluster = [...this.#followers.values()].filter((each) => each === id).length;
    if (this.#followers.size >= FOLLOWERS_MAX) throw unavailable(`${FOLLOWERS_MAX} logs are followed already.`);
    if (ofCluster >= CLUSTER_FOLLOWERS_MAX) throw unavailable(`${ofCluster} logs of ${name} are followed already.`);
    this.#followers.set(listening, id);
    listening.addEventListener('abort', () => this.#followers.delete(listening), { once: true });
  }

  /** To the end that it has now. */
  async *#rest(source: LogSource, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
    let reply = first;
    while (reply.found && reply.text !== '' && !signal.aborted) {
      yield reply.text;
      if (reply.isComplete) return;
      const next = await this.#ask(source, reply.next);
      if ('why' in next) return yield brokenOff(wordsOf(source.cluster, next));
      reply = next;
    }
  }

  async *#follow(source: LogSource, first: TaskLogsReply, signal: AbortSignal): AsyncGenerator<string> {
    let reply: TaskLogsReply | Unanswered = first;
    let next = first.found ? first.next : 0;
    let silentSinceMs: number | null = null;
    while (!signal.aborted) {
      if ('why' in reply) {
        silentSinceMs ??= performance.now();
        if (performance.now() - silentSinceMs > SILENCE_MS_MAX) return yield brokenOff(wordsOf(source.cluster, reply));
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
      const isBehind = !('why' in reply) && reply.found && reply.text !== '';
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
    if (!('why' in reply)) return reply;
    if (reply.why === 'nobody' && (await this.#isThere(cluster))) throw unavailable(await this.#tooOld(cluster));
    throw unavailable(`${wordsOf(cluster, reply)} Its log is there, and can be read once the cluster is back.`);
  }

  /** Every release listens for what was acknowledged and answers nothing: only where nobody listens NATS says so. */
  async #isThere({ id }: Cluster): Promise<boolean> {
    try {
      await requestJson(this.nats.connection, SUBJECTS.acked(id), { ids: [] }, { timeoutMs: THERE_TIMEOUT_MS });
      return true;
    } catch (cause) {
      return cause instanceof MessagingError && cause.failure === 'timeout';
    }
  }

  async #tooOld({ id, name }: Cluster): Promise<string> {
    const version = (await this.store.read.observations.find(id))?.report.agentVersion;
    const which = version === undefined ? 'its agent' : `its agent of version ${version}`;
    return `Cluster ${name} is there, but ${which} knows no such question: update it to read its logs from here.`;
  }

  async #ask({ cluster, verb, requestFrom }: LogSource, offset: number): Promise<TaskLogsReply | Unanswered> {
    try {
      const options = { timeoutMs: ANSWER_TIMEOUT_MS };
      const subject = SUBJECTS.rpc(cluster.id, verb);
      const answer = await requestJson(this.nats.connection, subject, requestFrom(offset), options);
      const parsed = taskLogsReplySchema.safeParse(answer);
      return parsed.success ? parsed.data : { why: 'not-understood' };
    } catch (cause) {
      const isNobody = cause instanceof MessagingError && cause.failure === 'no-responder';
      return { why: isNobody ? 'nobody' : 'silence' };
    }
  }
}

function wordsOf({ name }: Cluster, { why }: Unanswered): string {
  return why === 'not-understood'
    ? `Cluster ${name} answers what nobody here understands.`
    : `Cluster ${name} does not answer.`;
}

function brokenOff(reason: string): string {
  return `\n[atoll] ${reason} The log ends here.\n`;
}

function unavailable(detail: string): RequestError {
  return new RequestError(503, 'unavailable', detail, { 'retry-after': '10' });
}
