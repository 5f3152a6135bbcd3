/** `./atoll bench <name> [options]`: measures, prints a table, and with `--json` one object `{bench, machine, rows}`. */
import { cpus, totalmem } from 'node:os';
import { benchGateway } from './gateway/bench.ts';
import { benchReconnect } from './reconnect/bench.ts';
import { runSchedulerBench } from './scheduler/bench.ts';
import { runSyncBench } from './sync/bench.ts';

export interface BenchRow {
  readonly measure: string;
  readonly value: number | string;
  readonly unit: string;
  /** The bar to beat, and whether this run beat it; left out where there is none. */
  readonly bar?: string;
  readonly isMet?: boolean;
}

interface Bench {
  readonly meaning: string;
  /** Nothing where the bench has a table of its own and has printed it. */
  readonly run: (options: readonly string[]) => Promise<readonly BenchRow[] | undefined>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  gateway: { meaning: 'rate, added latency and memory of one gateway process on one core', run: benchGateway },
  reconnect: { meaning: 'a thousand agents that come back at once: seconds and bytes', run: benchReconnect },
  scheduler: {
    meaning: 'decisions a second, in memory and with the commit to Postgres, and crashes in between',
    run: printedBy(runSchedulerBench),
  },
  sync: {
    meaning: 'bytes, speed and memory of model diffs against other tools, and the plans they lead to',
    run: printedBy(runSyncBench),
  },
};

/** A bench that prints its own table. */
function printedBy(run: (options: readonly string[]) => Promise<void>): Bench['run'] {
  return async (options) => {
    await run(options);
    return undefined;
  };
}

const [name, ...options] = process.argv.slice(2);
const bench = name === undefined ? undefined : BENCHES[name];
if (bench === undefined || name === undefined) {
  for (const [known, { meaning }] of Object.entries(BENCHES)) console.log(`${known.padEnd(12)} ${meaning}`);
  process.exitCode = name === undefined || name.startsWith('-') ? 0 : 2;
} else {
  const rows = await bench.run(options);
  if (rows !== undefined) print(name, rows, options.includes('--json'));
}

function print(name: string, rows: readonly BenchRow[], isJson: boolean): void {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
  };
  if (isJson) console.log(JSON.stringify({ bench: name, machine, rows }));
  else {
    console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`);
    for (const row of rows) {
      const verdict = row.bar === undefined ? '' : `  bar ${row.bar}  ${row.isMet ? 'met' : 'MISSED'}`;
      console.log(`${row.measure.padEnd(52)} ${String(row.value).padStart(10)} ${row.unit.padEnd(6)}${verdict}`);
    }
  }
}
