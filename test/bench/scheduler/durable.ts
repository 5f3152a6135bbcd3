/** The commit path on an embedded Postgres with its disk: rates by batch, and crashes. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EmbeddedPostgres, startPostgres } from '#embedded';
import { migrate, openStore, type PostgresStore } from '#store';
import type { SchedulerRow } from './bars.ts';
import { type CrashReport, crashAgainAndAgain } from './crashes.ts';
import { fillFleet, type MeasuredCycles } from './durable-cycle.ts';
import { insertFleet, insertJobs } from './durable-fleet.ts';
import type { MeasuredCommits } from './writer-process.ts';

/** Units a transaction → jobs that are committed. */
const BATCHES: readonly (readonly [batch: number, jobs: number])[] = [
  [1, 500],
  [32, 4_000],
  [256, 8_000],
];
const NODES = 1_000;
/** Of the cycles of a leader: the fleet is full, and more waits. */
const CYCLE_NODES = 5_000;
const CYCLE_RUNNING = 40_000;
const CYCLE_WAITING = 10_000;
const QUICK = 4;
const CRASH_NODES = 40;
const KILLS = 20;

export interface DurableOptions {
  readonly isQuick: boolean;
  readonly say: (text: string) => void;
}

export interface DurableBench {
  readonly rows: readonly SchedulerRow[];
  readonly crashes: CrashReport;
}

export async function benchDurable({ isQuick, say }: DurableOptions): Promise<DurableBench> {
  const directory = mkdtempSync(join(tmpdir(), 'atoll-bench-'));
  const postgres = await startPostgres({ directory });
  try {
    const rows: SchedulerRow[] = [];
    // Seconds all together; with fewer, it is the start of the process that is measured.
    for (const [batch, jobs] of BATCHES) {
      say(`measuring commits of ${batch}, ${jobs} jobs`);
      const { perSecond, p50Ms, p99Ms, rssMB } = await measureCommits(postgres, batch, jobs);
      rows.push({ scenario: `commit-${batch}`, mode: 'durable', nodes: NODES, jobs, perSecond, p50Ms, p99Ms, rssMB });
    }
    rows.push(await measureCyclesApart(postgres, isQuick ? QUICK : 1, say));
    const kills = isQuick ? KILLS / QUICK : KILLS;
    say(`killing the leader ${kills} times`);
    const crashes = await onDatabase(postgres, 'crashes', CRASH_NODES, (store, url) =>
      crashAgainAndAgain(store, url, kills),
    );
    return { rows, crashes };
  } finally {
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param share of the fleet and of the jobs: one in so many */
async function measureCyclesApart(
  postgres: EmbeddedPostgres,
  share: number,
  say: DurableOptions['say'],
): Promise<SchedulerRow> {
  const [nodes, running, waiting] = [CYCLE_NODES / share, CYCLE_RUNNING / share, CYCLE_WAITING / share];
  say(`measuring cycles with ${running} jobs that run and ${waiting} that wait`);
  const measured = await onDatabase(postgres, 'cycles', nodes, async (store, url) => {
    await fillFleet(store, running, waiting);
    return inWriter<MeasuredCycles>('cycles', url, 0);
  });
  const { p50Ms, p99Ms, rssMB, parts, firstMs, cycles } = measured;
  const said = Object.entries(parts).map(([part, [p50, p99]]) => `${part} ${p50}/${p99}`);
  say(`${cycles} cycles, P50/P99 ms: ${said.join(', ')}; the first of all, which reads everything, ${firstMs} ms`);
  const perSecond = Math.round(1_000 / p50Ms);
  return {
    scenario: `cycle-${running}-running`,
    mode: 'durable',
    nodes,
    jobs: waiting,
    perSecond,
    p50Ms,
    p99Ms,
    rssMB,
  };
}

function measureCommits(postgres: EmbeddedPostgres, batch: number, jobs: number): Promise<MeasuredCommits> {
  return onDatabase(postgres, `commits_${batch}`, NODES, async (store, url) => {
    await insertJobs(store, jobs);
    return inWriter<MeasuredCommits>('measure', url, batch);
  });
}

function inWriter<Measured>(mode: 'measure' | 'cycles', url: string, batch: number): Measured {
  const script = fileURLToPath(new URL('./writer-process.js', import.meta.url));
  const child = spawnSync(process.execPath, [script, mode, url, String(batch)], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`measuring ${mode} failed:\n${child.stderr}`);
  return JSON.parse(child.stdout) as Measured;
}

async function onDatabase<Result>(
  postgres: EmbeddedPostgres,
  name: string,
  nodes: number,
  work: (store: PostgresStore, url: string) => Promise<Result>,
): Promise<Result> {
  const url = await postgres.ensureDatabase(name);
  await migrate(url);
  const store = await openStore({ url, poolSize: 4 });
  try {
    await insertFleet(store, nodes);
    return await work(store, url);
  } finally {
    await store.close();
  }
}
