/**
 * One leader: a session advisory lock on a connection of its own, and an epoch that rises with every win.
 *
 * The lock says who may begin; the epoch says whose writes count (`Store.transaction` with `epoch`). The lock ends with
 * its connection; Postgres itself ends the connection of a holder that says nothing for 5 s (stopped, or cut off), so
 * a new leader is there within about 6 s whatever became of the old one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { LeaderLease } from '#domain';
import { translateError } from './errors.ts';

const LEADER_LOCK = 4_107_002;
const RETRY_MS = 500;
const SILENCE_MS_MAX = 5_000;
const CONNECT_TIMEOUT_MS = 3_000;
/** Longer than the bounds of any transaction that the epoch's increment may have to wait for. */
const QUERY_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 2_000;

export interface LeaseOptions {
  readonly url: string;
  /** Told why a try to become the leader failed; it is tried again. */
  readonly onError?: (error: unknown) => void;
  /** After this silence Postgres ends the holder's session, default 5,000. The holder checks five times as often. */
  readonly silenceMsMax?: number;
}

export interface HeldLease {
  readonly epoch: number;
  /** Aborts when the lock may no longer be held: stop acting as the leader. Not aborted by `release`. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export class PostgresLeaderLease extends LeaderLease {
  private readonly silenceMsMax: number;

  constructor(private readonly options: LeaseOptions) {
    super();
    this.silenceMsMax = options.silenceMsMax ?? SILENCE_MS_MAX;
  }

  /** Tries every 500 ms. Rejects with the signal's reason when it gives up; a database out of reach is waited for. */
  override async acquire(holder: string, signal: AbortSignal): Promise<HeldLease> {
    for (;;) {
      signal.throwIfAborted();
      const client = this.newClient();
      try {
        await client.connect();
        await client.query(`SET idle_session_timeout = ${this.silenceMsMax}`);
        const epoch = await waitForLock(client, holder, signal);
        return hold(client, epoch, this.silenceMsMax);
      } catch (error) {
        void end(client);
        signal.throwIfAborted();
        this.options.onError?.(translateError(error));
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private newClient(): Client {
    const client = new Client({
      connectionString: this.options.url,
      application_name: 'atoll-leader',
      keepAlive: true,
      keepAliveInitialDelayMillis: 1_000,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
    });
    client.on('error', () => undefined);
    return client;
  }
}

/** Waits for the lock and gives the new epoch. */
async function waitForLock(client: Client, holder: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS locked', [LEADER_LOCK]);
    if (rows[0].locked === true) break;
    await delay(RETRY_MS, undefined, { signal });
  }
  // Waits for the old leader's transactions that are under way: each of them holds this row in share mode.
  const { rows } = await client.query(NEXT_EPOCH, [holder]);
  return Number(rows[0].epoch);
}

// Above what any agent has seen, too: after a restore the row itself may be behind the fleet (R20).
const NEXT_EPOCH = `
  UPDATE leader SET holder = $1, since = now(), epoch = 1 + greatest(epoch, (
    SELECT max((ahead ->> 'epoch')::bigint) FROM clusters WHERE ahead IS NOT NULL AND phase <> 'Left'
  ))
  RETURNING epoch`;

function hold(client: Client, epoch: number, silenceMsMax: number): HeldLease {
  const lost = new AbortController();
  let released = false;
  let timer: NodeJS.Timeout;
  const lose = (reason: unknown) => {
    if (released || lost.signal.aborted) return;
    clearTimeout(timer);
    lost.abort(translateError(reason));
    void end(client);
  };
  const check = () => {
    answerInTime(client, silenceMsMax * 0.6).then(() => {
      if (!released && !lost.signal.aborted) timer = setTimeout(check, silenceMsMax / 5);
    }, lose);
  };
  client.once('end', () => lose(new Error('the leader lease’s connection ended')));
  timer = setTimeout(check, silenceMsMax / 5);
  return {
    epoch,
    lost: lost.signal,
    // Ending the session ends the lock.
    release: async () => {
      if (released) return;
      released = true;
      clearTimeout(timer);
      await end(client);
    },
  };
}

async function answerInTime(client: Client, timeoutMs: number): Promise<void> {
  const late = new Error(`the leader lease’s connection did not answer within ${timeoutMs} ms`);
  await within(timeoutMs, client.query('SELECT 1'), () => {
    throw late;
  });
}

/** Ends the session; a connection that cannot even say goodbye is dropped after 2 s. */
async function end(client: Client): Promise<void> {
  const ended = client.end().catch(() => undefined);
  await within(END_TIMEOUT_MS, ended, () => client.connection.stream.destroy());
}

async function within(timeoutMs: number, work: Promise<unknown>, otherwise: () => void): Promise<void> {
  const done = new AbortController();
  const timeout = delay(timeoutMs, undefined, { signal: done.signal }).then(otherwise);
  try {
    await Promise.race([work, timeout]);
  } finally {
    done.abort();
    timeout.catch(() => undefined);
  }
}
