/**
 * `./atoll bench sync [--series DIR [--only REGEXP]] [--pair BASE NEW] [--runs N] [--json]`: what a new version costs on
 * the wire and on the processor, by codec and by tool, against the bars; and what the planner would do on links of
 * several speeds.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { planSync, type SyncArtifact } from '#modelsync';
import { openSource } from './file-bytes.ts';
import { writeMadeSeries } from './made-series.ts';
import { type Measured, measuredSets } from './measure.ts';
import { type Pair, pairOf, pairsOf } from './pairs.ts';
import { xorByFieldsBytes } from './reference.ts';
import { isInstalled, runTool, tools } from './tools.ts';

export interface SyncRow {
  readonly pair: string;
  /** `atoll` is ours; `xor-fields` is the reference of the bar. */
  readonly tool: string;
  readonly codec: string;
  readonly bytes: number;
  /** Of the new file. */
  readonly percent: number;
  /** MB/s of the new file on one core; null where it is not measured. */
  readonly encodeMBps: number | null;
  readonly applyMBps: number | null;
  /** Ours: apply with both files' SHA-256 and the writing. */
  readonly verifiedApplyMBps?: number;
  readonly rssMB: number | null;
  readonly exact: boolean;
}

export interface PlanRow {
  readonly pair: string;
  readonly megabitsPerSecond: number;
  readonly path: string;
  readonly codec: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly reason: string;
}

const REFERENCE = 'xor-fields';
const BAR_OF_REFERENCE = 0.46;
const LINKS_MEGABITS = [10, 100, 1000];
const RUNS_DEFAULT = '5';

/** Measures and prints. Throws where no pair is found. */
export async function runSyncBench(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      series: { type: 'string' },
      pair: { type: 'string' },
      only: { type: 'string', default: '' },
      runs: { type: 'string', default: RUNS_DEFAULT },
      json: { type: 'boolean', default: false },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'atoll-bench-'));
  try {
    const asked = await pairsAskedFor(values.series, values.pair, positionals[0], folder);
    const pairs = asked.filter(({ name }) => new RegExp(values.only).test(name));
    if (pairs.length === 0) throw new Error(`no pair's name matches ${values.only}`);
    const rows: SyncRow[] = [];
    for (const pair of pairs) {
      if (!values.json) console.error(`measuring ${pair.name}`);
      rows.push(...(await measurePair(pair, Number(values.runs), folder)));
    }
    const plans = pairs.flatMap((pair) => plansOf(pair, rows));
    const summary = summarise(rows);
    const machine = machineOf();
    if (values.json) console.log(JSON.stringify({ bench: 'sync', machine, rows, plans, summary }));
    else print(machine, rows, plans, summary);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function pairsAskedFor(
  series: string | undefined,
  base: string | undefined,
  next: string | undefined,
  folder: string,
): Promise<Pair[]> {
  if (base !== undefined) {
    if (next === undefined) throw new Error('--pair takes two files: --pair BASE NEW');
    return [pairOf(base, next)];
  }
  if (series === undefined) writeMadeSeries(folder);
  const pairs = await pairsOf(series ?? folder);
  if (pairs.length === 0) throw new Error(`${series} holds no two model files with a tensor in common`);
  return pairs;
}

async function measurePair(pair: Pair, runs: number, folder: string): Promise<SyncRow[]> {
  const [base, next] = [openSource(pair.base), openSource(pair.next)];
  const percent = (bytes: number) => Math.round((bytes / next.size) * 1e5) / 1e3;
  const rate = (seconds: number) => Math.round((next.size / 1e6 / seconds) * 10) / 10;
  const rows: SyncRow[] = Object.keys(measuredSets).map((codec) => {
    const { bytes, encodeMBps, applyMBps, verifiedApplyMBps, rssMB, exact } = measureApart(pair, codec, runs, folder);
    const rates = { encodeMBps, applyMBps, verifiedApplyMBps };
    return { pair: pair.name, tool: 'atoll', codec, bytes, percent: percent(bytes), ...rates, rssMB, exact };
  });
  const bytes = await xorByFieldsBytes(base, next);
  const unmeasured = { encodeMBps: null, applyMBps: null, rssMB: null };
  rows.push({
    pair: pair.name,
    tool: REFERENCE,
    codec: 'zstd -19',
    bytes,
    percent: percent(bytes),
    ...unmeasured,
    exact: true,
  });
  for (const tool of tools.filter(({ program }) => isInstalled(program))) {
    const result = runTool(tool, pair, folder);
    if (result === null) continue;
    rows.push({
      pair: pair.name,
      tool: tool.program,
      codec: tool.name,
      bytes: result.bytes,
      percent: percent(result.bytes),
      encodeMBps: rate(result.encodeSeconds),
      applyMBps: rate(result.applySeconds),
      rssMB: result.rssMB,
      exact: result.exact,
    });
  }
  for (const source of [base, next]) source.close();
  return rows;
}

function measureApart({ base, next }: Pair, codec: string, runs: number, folder: string): Measured {
  const script = fileURLToPath(new URL('./measure.js', import.meta.url));
  const child = spawnSync(process.execPath, [script, base, next, codec, String(runs), folder], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`measuring ${codec} on ${next} failed:\n${child.stderr}`);
  return JSON.parse(child.stdout) as Measured;
}

/** What the planner would choose for a cluster that holds the base, with the codecs' measured speeds. */
function plansOf(pair: Pair, rows: readonly SyncRow[]): PlanRow[] {
  const ours = rows.filter((row) => row.pair === pair.name && row.tool === 'atoll');
  const resultBytes = Math.round((ours[0]!.bytes * 100) / ours[0]!.percent);
  const artifacts: SyncArtifact[] = [
    ...ours.map(({ codec, bytes }) => ({
      from: codec === 'snapshot' ? null : 'base',
      to: 'next',
      bytes,
      resultBytes,
      codec,
    })),
    { from: null, to: 'next', bytes: resultBytes, resultBytes, codec: 'raw' },
  ];
  const speeds = Object.fromEntries(ours.map(({ codec, verifiedApplyMBps }) => [codec, verifiedApplyMBps! * 1e6]));
  return LINKS_MEGABITS.map((megabitsPerSecond) => {
    const source = { kind: 'registry', name: 'registry', bytesPerSecond: (megabitsPerSecond * 1e6) / 8 } as const;
    const plan = planSync({
      held: ['base'],
      wanted: 'next',
      offers: artifacts.map((artifact) => ({ artifact, source })),
      applyBytesPerSecond: { ...speeds, raw: 1000e6 },
      stepOverheadSeconds: 0,
    });
    if (plan.path === 'impossible') throw new Error(plan.reason);
    const { path, steps, bytes, seconds, reason } = plan;
    return { pair: pair.name, megabitsPerSecond, path, codec: steps[0]!.artifact.codec, bytes, seconds, reason };
  });
}

interface Summary {
  /** By codec: geometric mean over the pairs of our bytes over the reference's; the bar is 0.46 for the smallest. */
  readonly ofReference: Readonly<Record<string, number>>;
  readonly bar: number;
  /** By codec: lowest rates over the pairs. */
  readonly slowest: Readonly<Record<string, { readonly encodeMBps: number; readonly applyMBps: number }>>;
}

function summarise(rows: readonly SyncRow[]): Summary {
  const reference = new Map(rows.filter(({ tool }) => tool === REFERENCE).map(({ pair, bytes }) => [pair, bytes]));
  const codecs = Object.keys(measuredSets);
  const of = (codec: string) => rows.filter((row) => row.tool === 'atoll' && row.codec === codec);
  const mean = (values: readonly number[]) =>
    Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
  const smallest = [...reference].map(
    ([pair, bytes]) =>
      Math.min(...rows.filter((row) => row.tool === 'atoll' && row.pair === pair).map((row) => row.bytes)) / bytes,
  );
  const ratios = codecs.map((codec) => [codec, mean(of(codec).map(({ pair, bytes }) => bytes / reference.get(pair)!))]);
  const slowest = codecs.map((codec) => [
    codec,
    {
      encodeMBps: Math.min(...of(codec).map(({ encodeMBps }) => encodeMBps!)),
      applyMBps: Math.min(...of(codec).map(({ applyMBps }) => applyMBps!)),
    },
  ]);
  return {
    ofReference: { ...Object.fromEntries(ratios), smallest: mean(smallest) },
    bar: BAR_OF_REFERENCE,
    slowest: Object.fromEntries(slowest),
  };
}

type Machine = ReturnType<typeof machineOf>;

function machineOf() {
  return { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem(), node: process.version };
}

function print(machine: Machine, rows: readonly SyncRow[], plans: readonly PlanRow[], summary: Summary): void {
  console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; MB/s of the new file on one core`);
  const reference = new Map(rows.filter(({ tool }) => tool === REFERENCE).map(({ pair, bytes }) => [pair, bytes]));
  const cell = (value: number | null | undefined, width: number) =>
    (value == null ? '–' : String(value)).padStart(width);
  let pair = '';
  for (const row of rows) {
    if (row.pair !== pair)
      console.log(`\n${row.pair}\n${' '.repeat(34)}     %  of XOR   encode    apply verified  RSS MB`);
    pair = row.pair;
    const name =
      row.tool === 'atoll' ? `atoll ${row.codec}` : row.tool === REFERENCE ? 'XOR by fields, zstd -19' : row.codec;
    const ofReference = (row.bytes / reference.get(row.pair)!).toFixed(3).padStart(7);
    const rates = `${cell(row.encodeMBps, 8)} ${cell(row.applyMBps, 8)} ${cell(row.verifiedApplyMBps, 8)} ${cell(row.rssMB, 7)}`;
    console.log(
      `  ${name.padEnd(28)} ${row.percent.toFixed(3).padStart(9)} ${ofReference} ${rates}${row.exact ? '' : '  NOT EXACT'}`,
    );
  }
  console.log('\nThe planner, for a cluster that holds the base:');
  for (const { pair: name, megabitsPerSecond, reason } of plans) {
    console.log(`  ${name}, ${megabitsPerSecond} Mbit/s: ${reason}`);
  }
  console.log('\nBytes over those of XOR by fields, geometric mean over these pairs:');
  for (const [codec, ratio] of Object.entries(summary.ofReference))
    console.log(`  ${codec.padEnd(12)} ${ratio.toFixed(3)}`);
  console.log(`  bar          ${summary.bar} (fine-tune, last layer, LoRA merged, vocabulary grown, RL step)`);
}
