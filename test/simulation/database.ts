/**
 * What of Postgres matters here: serial transactions that a dead client leaves behind uncommitted, reads that see the
 * newest committed state and take time, notifications, one leader lock that ends with its holder's session, an epoch.
 */
import { type Rows, StaleEpochError, Store } from '#domain';
import { rowsOn } from './table-rows.ts';
import { copyTables, emptyTables, type Tables, type Topic } from './tables.ts';
import type { SimulatedProcess, World } from './world.ts';

/** Postgres ends the session of a leader that says nothing for so long, and a transaction that idles. */
const SESSION_SILENCE_MS_MAX = 5_000;
const IDLE_IN_TRANSACTION_MS_MAX = 8_000;
const LATENCY_MS_MAX = 12;

export interface Commit {
  readonly process: SimulatedProcess;
  /** The epoch that the writer says it has; null for writes of intent and observations. */
  readonly epoch: number | null;
  /** True time at which its work was done; the commit is a moment, or a pause, later. */
  readonly decidedAtMs: number;
  readonly before: Tables;
  readonly after: Tables;
}

export interface DatabaseRules {
  /** False only to prove that the checks notice. */
  readonly checksEpoch: boolean;
}

interface Transaction {
  readonly process: SimulatedProcess;
  isOpen: boolean;
}

export class Database {
  committed: Tables = emptyTables();
  leader: SimulatedProcess | null = null;
  /** Wall clock of the server minus true time. */
  skewMs = 0;
  onCommit: (commit: Commit) => void = () => undefined;
  private current: Transaction | null = null;
  private readonly waiting: (() => void)[] = [];
  private readonly listeners = new Set<{ process: SimulatedProcess; topic: Topic; run: () => void }>();

  constructor(
    private readonly world: World,
    private readonly rules: DatabaseRules,
  ) {}

  connect(process: SimulatedProcess): Store {
    return new SimulatedStore(this, process);
  }

  /** A new epoch, or null while another one holds the lock. */
  tryLead(process: SimulatedProcess, won: (epoch: number) => void): void {
    if (this.leader !== null) return;
    this.leader = process;
    this.whenFree(process, (transaction) => {
      const after = copyTables(this.committed);
      after.epoch += 1;
      this.committed = after;
      this.end(transaction);
      this.world.after(this.latencyMs(), process, () => won(after.epoch));
    });
  }

  release(process: SimulatedProcess): void {
    if (this.leader === process) this.leader = null;
  }

  /** The client is gone: its session, lock and transaction end. */
  disconnected(process: SimulatedProcess): void {
    this.release(process);
    if (this.current?.process === process) this.end(this.current);
    for (const listener of this.listeners) if (listener.process === process) this.listeners.delete(listener);
  }

  /** The client says nothing from now on. */
  silent(process: SimulatedProcess): void {
    const { current } = this;
    this.world.after(SESSION_SILENCE_MS_MAX, null, () => {
      if (process.state === 'paused') this.release(process);
    });
    this.world.after(IDLE_IN_TRANSACTION_MS_MAX, null, () => {
      if (process.state === 'paused' && current?.process === process && current.isOpen) this.end(current);
    });
  }

  transact<T>(process: SimulatedProcess, work: (rows: Rows) => Promise<T>, epoch: number | null): Promise<T> {
    return new Promise((resolve, reject) => {
      const answer = (run: () => void) => this.world.after(this.latencyMs(), process, run);
      this.whenFree(process, (transaction) => {
        const before = this.committed;
        if (epoch !== null && this.rules.checksEpoch && before.epoch !== epoch) {
          this.end(transaction);
          return answer(() => reject(new StaleEpochError(epoch, before.epoch)));
        }
        const after = copyTables(before);
        const touched = new Set<Topic>();
        const fail = (error: unknown) => {
          this.end(transaction);
          answer(() => reject(error as Error));
        };
        work(rowsOn({ tables: after, now: () => this.now(), touched })).then((result) => {
          const decidedAtMs = this.world.nowMs;
          this.world.after(this.latencyMs(), process, () => {
            if (!transaction.isOpen) return fail(new Error('the transaction idled for too long'));
            this.committed = after;
            this.end(transaction);
            this.onCommit({ process, epoch, decidedAtMs, before, after });
            this.notify(touched);
            answer(() => resolve(result));
          });
        }, fail);
      });
    });
  }

  /** Runs a read on what is committed when it arrives. */
  read<T>(process: SimulatedProcess, run: (rows: Rows) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.world.after(this.latencyMs(), process, () => {
        run(rowsOn({ tables: this.committed, now: () => this.now(), touched: new Set() })).then(resolve, reject);
      });
    });
  }

  listen(process: SimulatedProcess, topic: Topic, run: () => void): () => void {
    const listener = { process, topic, run };
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private now(): Date {
    return new Date(this.world.nowMs + this.skewMs);
  }

  private notify(touched: ReadonlySet<Topic>): void {
    for (const { process, topic, run } of this.listeners) {
      if (touched.has(topic)) this.world.after(this.latencyMs(), process, run);
    }
  }

  private whenFree(process: SimulatedProcess, run: (transaction: Transaction) => void): void {
    const begin = () => {
      if (process.state === 'dead') return this.next();
      if (process.state === 'paused') {
        this.world.after(0, process, () => this.whenFree(process, run));
        return this.next();
      }
      const transaction = { process, isOpen: true };
      this.current = transaction;
      this.world.after(this.latencyMs(), process, () => {
        if (transaction.isOpen) run(transaction);
        // Ended by the server while the client slept, before it did anything: it begins again.
        else this.whenFree(process, run);
      });
    };
    if (this.current === null) begin();
    else this.waiting.push(begin);
  }

  private end(transaction: Transaction): void {
    transaction.isOpen = false;
    if (this.current !== transaction) return;
    this.current = null;
    this.next();
  }

  private next(): void {
    this.current = null;
    this.waiting.shift()?.();
  }

  private latencyMs(): number {
    return this.world.between(1, LATENCY_MS_MAX);
  }
}

class SimulatedStore extends Store {
  override readonly read: Rows;

  constructor(
    private readonly database: Database,
    private readonly process: SimulatedProcess,
  ) {
    super();
    this.read = readingRows((run) => database.read(process, run));
  }

  override transaction<T>(work: (rows: Rows) => Promise<T>, options: { epoch?: number } = {}): Promise<T> {
    return this.database.transact(this.process, work, options.epoch ?? null);
  }

  override onChange(topic: Topic, listener: () => void): () => void {
    return this.database.listen(this.process, topic, listener);
  }

  override async ping(): Promise<void> {}

  override async close(): Promise<void> {}
}

type AnyRows = Record<string, Record<string, (...given: unknown[]) => Promise<unknown>>>;

/** Every call of every row class as a read of its own. */
function readingRows(read: (run: (rows: Rows) => Promise<unknown>) => Promise<unknown>): Rows {
  const calls = (table: string) =>
    new Proxy(
      {},
      {
        get:
          (_target, name) =>
          (...given: unknown[]) =>
            read((rows) => (rows as unknown as AnyRows)[table]![String(name)]!(...given)),
      },
    );
  return new Proxy({}, { get: (_target, table) => calls(String(table)) }) as Rows;
}
