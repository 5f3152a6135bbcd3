/**
 * Who wants to know that something changed, and the one connection that hears it from Postgres.
 *
 * Level-triggered: a listener learns only that it should look again. After every (re)connect all listeners are called,
 * because what was said meanwhile was not heard.
 */
import { Client } from 'pg';
import { translateError } from './errors.ts';

export type Topic = 'intent' | 'observation' | 'outbox';
const TOPICS: readonly Topic[] = ['intent', 'observation', 'outbox'];

/** Calls of one topic within this time are one call. */
export const COALESCE_MS = 20;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 5_000;
/** A connection that is dead but not closed is found out within one interval and one timeout. */
const CHECK_INTERVAL_MS = 5_000;
const CHECK_TIMEOUT_MS = 5_000;

export class ChangeListener {
  private readonly listeners: Record<Topic, Set<() => void>> = {
    intent: new Set(),
    observation: new Set(),
    outbox: new Set(),
  };
  private readonly waking = new Map<Topic, NodeJS.Timeout>();
  private client: Client | null = null;
  private timer: NodeJS.Timeout | null = null;
  private connecting: Promise<void> | null = null;
  private failures = 0;
  private closed = false;

  constructor(
    private readonly url: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  /**
   * The first listener opens the connection. Every listener is called once as soon as it is listened for: what was
   * before was not heard. Returns what ends the listening.
   */
  add(topic: Topic, listener: () => void): () => void {
    // A wrapper of its own, so that one function added twice is also taken away twice.
    const entry = () => listener();
    this.listeners[topic].add(entry);
    if (this.client !== null) this.wake(topic);
    else if (this.connecting === null && this.timer === null) this.connect();
    return () => void this.listeners[topic].delete(entry);
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    for (const timer of this.waking.values()) clearTimeout(timer);
    this.waking.clear();
    await this.connecting;
    const { client } = this;
    this.client = null;
    await client?.end().catch(() => undefined);
  }

  private connect(): void {
    this.timer = null;
    if (this.closed) return;
    this.connecting = this.open()
      .catch((error: unknown) => this.retry(error))
      .finally(() => {
        this.connecting = null;
      });
  }

  private async open(): Promise<void> {
    const client = new Client({
      connectionString: this.url,
      application_name: 'atoll-listen',
      keepAlive: true,
      connectionTimeoutMillis: CHECK_TIMEOUT_MS,
      query_timeout: CHECK_TIMEOUT_MS,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      client.on('notification', (message) => this.wake(message.channel.replace('atoll_', '') as Topic));
      await client.query(TOPICS.map((topic) => `LISTEN atoll_${topic}`).join('; '));
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    client.once('end', () => this.lost(client, new Error('the listening connection ended')));
    this.client = client;
    this.failures = 0;
    this.timer = setTimeout(() => this.check(client), CHECK_INTERVAL_MS);
    for (const topic of TOPICS) this.wake(topic);
  }

  private check(client: Client): void {
    client.query('SELECT 1').then(
      () => {
        if (this.client === client && !this.closed)
          this.timer = setTimeout(() => this.check(client), CHECK_INTERVAL_MS);
      },
      (error: unknown) => this.lost(client, error),
    );
  }

  private lost(client: Client, error: unknown): void {
    if (this.client !== client || this.closed) return;
    this.client = null;
    client.end().catch(() => undefined);
    this.retry(error);
  }

  private retry(error: unknown): void {
    if (this.closed) return;
    this.onError(translateError(error));
    if (this.timer !== null) clearTimeout(this.timer);
    const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(this.failures, 6));
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), delayMs);
  }

  private wake(topic: Topic): void {
    if (this.closed || this.waking.has(topic)) return;
    this.waking.set(
      topic,
      setTimeout(() => {
        this.waking.delete(topic);
        for (const listener of this.listeners[topic]) this.call(listener);
      }, COALESCE_MS),
    );
  }

  private call(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.onError(error);
    }
  }
}
