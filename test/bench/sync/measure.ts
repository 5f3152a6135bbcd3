/**
 * Measures one codec set on one pair, in a process of its own so that its peak memory is its own:
 * `node measure.js BASE NEW PROFILE RUNS FOLDER` prints one {@link Measured} as JSON.
 *
 * Rates are bytes of the new file over CPU seconds (user and system) of the whole process, the best of the runs, so one
 * core's. `encode` is all of encodeDiff but the base's digest, which a registry has; `apply` decodes every block from
 * files, checksums included; `verifiedApply` is all of applyDiff: base digest, blocks, result digest, writing.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  applyDiff,
  type CodecCounts,
  type CodecName,
  decodeBlockOf,
  decodeSnapshot,
  digestOf,
  encodeDiff,
  encodeSnapshot,
  openContainer,
} from '#modelsync';
import { openSink, openSource } from './file-bytes.ts';

/** What is measured: name → codecs (null: a snapshot, no base). */
export const measuredSets: Readonly<Record<string, readonly CodecName[] | null>> = {
  grouped: ['patched', 'grouped', 'snapshot'],
  coded: ['patched', 'coded', 'grouped', 'snapshot'],
  predicted: ['patched', 'predicted', 'coded', 'grouped', 'snapshot'],
  snapshot: null,
};

export interface Measured {
  readonly bytes: number;
  readonly encodeMBps: number;
  readonly applyMBps: number;
  readonly verifiedApplyMBps: number;
  readonly rssMB: number;
  readonly exact: boolean;
  readonly codecs: CodecCounts;
}

async function measure(
  basePath: string,
  nextPath: string,
  set: string,
  runs: number,
  folder: string,
): Promise<Measured> {
  const codecs = measuredSets[set];
  const [base, next] = [openSource(basePath), openSource(nextPath)];
  const [patchPath, resultPath] = [join(folder, `${process.pid}.patch`), join(folder, `${process.pid}.result`)];
  const baseDigest = await digestOf(base);
  const written = await best(runs, async () => {
    const sink = openSink(patchPath);
    const report =
      codecs === null
        ? await encodeSnapshot(next, sink)
        : await encodeDiff(base, next, sink, { codecs: codecs ?? [], baseDigest });
    sink.close();
    return report;
  });
  const patch = openSource(patchPath);
  const container = await openContainer(patch);
  const decoded = await best(runs, async () => {
    for (const block of container.blocks) await decodeBlockOf(container, codecs === null ? null : base, block);
  });
  const applied = await best(runs, async () => {
    const sink = openSink(resultPath);
    const report = codecs === null ? await decodeSnapshot(patch, sink) : await applyDiff(base, patch, sink);
    sink.close();
    return report;
  });
  const rssMB = Math.round(process.resourceUsage().maxRSS / 1024);
  const exact = sha256(resultPath) === sha256(nextPath);
  for (const path of [patchPath, resultPath]) rmSync(path);
  const rate = ({ seconds }: { seconds: number }) => Math.round(next.size / 1e6 / seconds);
  return {
    bytes: written.value.bytes,
    encodeMBps: rate(written),
    applyMBps: rate(decoded),
    verifiedApplyMBps: rate(applied),
    rssMB,
    exact,
    codecs: written.value.codecs,
  };
}

async function best<Value>(runs: number, run: () => Promise<Value>): Promise<{ value: Value; seconds: number }> {
  let fastest: { value: Value; seconds: number } | undefined;
  for (let index = 0; index < runs; index++) {
    const before = process.cpuUsage();
    const value = await run();
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6;
    if (fastest === undefined || seconds < fastest.seconds) fastest = { value, seconds };
    if (seconds > 10) break; // slow enough to be measured well by one run
  }
  return fastest!;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [base, next, set, runs, folder] = process.argv.slice(2) as [string, string, string, string, string];
  console.log(JSON.stringify(await measure(base, next, set, Number(runs), folder)));
}
