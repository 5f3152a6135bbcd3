// Events that must not be lost: on disk before they are sent, and until the centre says that Postgres has them.
//
// Sent at once and again every 15 s until acknowledged by name; the stream's own acknowledgement is not enough, for NATS
// may forget. Bound: 1,000 events; at the bound the oldest is dropped, counted and logged (the report tells the present
// state of all that events speak of, so what is lost is history).
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { type AgentEvent, eventSchema } from '#contracts';
import { writeDurably } from '#files';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';

const EVENTS_MAX = 1_000;
export const RESEND_INTERVAL_MS = 15_000;

type WithoutIdentity<Event> = Event extends AgentEvent ? Omit<Event, 'id' | 'at'> : never;
export type NewEvent = WithoutIdentity<AgentEvent>;

export interface OutboxOptions {
  readonly folder: string;
  /** Rejects when it is not known to be stored. */
  readonly publish: (event: AgentEvent) => Promise<void>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  readonly eventsMax?: number;
}

export class Outbox {
  readonly #options: OutboxOptions;
  /** In the order of their ids, that is of their making. */
  readonly #events = new Map<string, AgentEvent>();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #isAskedAgain = false;
  #isStopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  get pending(): number {
    return this.#events.size;
  }

  /**
   * Reads what an earlier start left. A file that is no event (cut by a crash) is removed; one that another release wrote,
   * or that cannot be read now, is left for an agent that can: there may be usage in it.
   */
  async open(): Promise<void> {
    const { folder, log } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of (await readdir(folder)).sort()) {
      const text = await readFile(join(folder, name), 'utf8').catch(() => null);
      const value = text === null ? null : parseJson(text);
      const event = eventSchema.safeParse(value).data;
      const isNamed = name === `${idOf(value)}.json`;
      if (event !== undefined && isNamed) this.#events.set(event.id, event);
      else if (text === null || isNamed) log.warn({ file: name }, 'an event that this agent cannot read; it stays');
      else {
        log.warn({ file: name }, 'not an event; removed from the outbox');
        await rm(join(folder, name), { force: true });
      }
    }
    this.#timer = setInterval(() => void this.send(), RESEND_INTERVAL_MS);
  }

  /**
   * Durable when resolved. `id`: of an event that can be made twice and counts once, however far its first making came;
   * default: a new one.
   */
  async add(event: NewEvent, id: string = uuidv7()): Promise<void> {
    const { folder, eventsMax = EVENTS_MAX, metrics, log } = this.#options;
    const whole = eventSchema.parse({ ...event, id, at: new Date().toISOString() });
    await writeDurably(join(folder, `${whole.id}.json`), JSON.stringify(whole));
    this.#events.set(whole.id, whole);
    const droppable = [...this.#events.values()].filter(({ kind }) => kind !== 'usage-recorded');
    for (const oldest of droppable.slice(0, Math.max(0, droppable.length - eventsMax))) {
      metrics.eventsDropped(1);
      log.error({ event: oldest.id }, 'the outbox is full; its oldest event is dropped');
      await this.#remove(oldest.id);
    }
    void this.send();
  }

  /** The centre has these. Unknown ids are acknowledgements that came twice. */
  async acknowledged(ids: readonly string[]): Promise<void> {
    for (const id of ids) if (this.#events.has(id)) await this.#remove(id);
  }

  /** Sends everything that is not acknowledged; one round at a time, and one more for what comes meanwhile. Never rejects. */
  send(): Promise<void> {
    if (this.#sending !== undefined) {
      this.#isAskedAgain = true;
      return this.#sending;
    }
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (!this.#isAskedAgain || this.#isStopped) return;
      this.#isAskedAgain = false;
      void this.send();
    });
    return this.#sending;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    for (const event of [...this.#events.values()]) {
      if (this.#isStopped) return;
      try {
        await this.#options.publish(event);
      } catch (cause) {
        // The others would fail alike; all come again.
        this.#options.log.debug(
          { event: event.id, reason: messageOf(cause) },
          'event not stored; sending it again later',
        );
        return;
      }
    }
  }

  async #remove(id: string): Promise<void> {
    this.#events.delete(id);
    await rm(join(this.#options.folder, `${id}.json`), { force: true });
  }
}

function idOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'id' in value ? value.id : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
