/** What everybody has: general tools for differences between files, run where they are installed. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Pair } from './pairs.ts';

export interface ToolResult {
  readonly bytes: number;
  readonly encodeSeconds: number;
  readonly applySeconds: number;
  /** Peak memory of the encoder; null without GNU time. */
  readonly rssMB: number | null;
  readonly exact: boolean;
}

interface Tool {
  readonly program: string;
  readonly name: string;
  /** Argument vectors; `patch` is a file, or a folder for tools that make one. */
  readonly encode: (pair: Pair, patch: string) => readonly string[];
  readonly apply: (pair: Pair, patch: string, result: string) => readonly string[];
  /** Made before encoding. */
  readonly prepare?: (pair: Pair, patch: string, result: string) => void;
  readonly bytes?: (patch: string) => number;
}

export const tools: readonly Tool[] = [
  zstdAt(3),
  zstdAt(19),
  {
    program: 'xdelta3',
    name: 'xdelta3 -9',
    encode: ({ base, next }, patch) => ['-9', '-e', '-f', '-s', base, next, patch],
    apply: ({ base }, patch, result) => ['-d', '-f', '-s', base, patch, result],
  },
  {
    program: 'bsdiff',
    name: 'bsdiff',
    encode: ({ base, next }, patch) => [base, next, patch],
    apply: ({ base }, patch, result) => ['bspatch', base, result, patch],
  },
  {
    program: 'rsync',
    name: 'rsync',
    prepare: ({ base }, _patch, result) => copyFileSync(base, result),
    encode: ({ next }, patch) => [
      '--no-whole-file',
      `--only-write-batch=${patch}`,
      next,
      patch.replace(/patch$/, 'result'),
    ],
    apply: (_pair, patch, result) => ['--no-whole-file', `--read-batch=${patch}`, result],
  },
  {
    program: 'casync',
    name: 'casync',
    prepare: ({ base }, patch) => {
      mkdirSync(patch);
      run('casync', ['make', `--store=${patch}/base`, `${patch}/base.caibx`, base]);
    },
    encode: ({ next }, patch) => ['make', `--store=${patch}/next`, `${patch}/next.caibx`, next],
    apply: ({ base }, patch, result) => [
      'extract',
      `--store=${patch}/next`,
      `--seed=${base}`,
      `${patch}/next.caibx`,
      result,
    ],
    bytes: (patch) => {
      const chunks = (folder: string) => readdirSync(folder, { recursive: true, encoding: 'utf8' });
      const had = new Set(chunks(`${patch}/base`));
      const added = chunks(`${patch}/next`).filter((name) => name.endsWith('.cacnk') && !had.has(name));
      return added.reduce(
        (sum, name) => sum + statSync(join(patch, 'next', name)).size,
        statSync(`${patch}/next.caibx`).size,
      );
    },
  },
];

function zstdAt(level: number): Tool {
  return {
    program: 'zstd',
    name: `zstd -${level} --patch-from`,
    encode: ({ base, next }, patch) => [
      `-${level}`,
      '-q',
      '-f',
      '--long=27',
      `--patch-from=${base}`,
      next,
      '-o',
      patch,
    ],
    apply: ({ base }, patch, result) => ['-d', '-q', '-f', '--long=27', `--patch-from=${base}`, patch, '-o', result],
  };
}

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** One run of a tool on a pair; null where the tool fails. `folder` is for its files, which are removed. */
export function runTool(tool: Tool, pair: Pair, folder: string): ToolResult | null {
  const [patch, result] = [join(folder, 'tool.patch'), join(folder, 'tool.result')];
  try {
    tool.prepare?.(pair, patch, result);
    const encoded = run(tool.program, tool.encode(pair, patch));
    const applyArguments = tool.apply(pair, patch, result);
    const isOther = tool.program === 'bsdiff';
    const applied = run(
      isOther ? applyArguments[0]! : tool.program,
      isOther ? applyArguments.slice(1) : applyArguments,
    );
    return {
      bytes: tool.bytes?.(patch) ?? statSync(patch).size,
      encodeSeconds: encoded.seconds,
      applySeconds: applied.seconds,
      rssMB: encoded.rssMB,
      exact: readFileSync(result).equals(readFileSync(pair.next)),
    };
  } catch {
    return null;
  } finally {
    for (const path of [patch, result, `${patch}.sh`]) rmSync(path, { recursive: true, force: true });
  }
}

const GNU_TIME = '/usr/bin/time';

function run(program: string, parameters: readonly string[]): { seconds: number; rssMB: number | null } {
  const isTimed = isInstalled(GNU_TIME);
  const started = performance.now();
  const child = isTimed
    ? spawnSync(GNU_TIME, ['-f', 'rss %M', program, ...parameters], { encoding: 'utf8', timeout: 600_000 })
    : spawnSync(program, parameters, { encoding: 'utf8', timeout: 600_000 });
  const seconds = (performance.now() - started) / 1000;
  if (child.status !== 0) throw new Error(`${program}: ${child.stderr}`);
  const rss = /rss (\d+)/.exec(child.stderr)?.[1];
  return { seconds, rssMB: rss === undefined ? null : Math.round(Number(rss) / 1024) };
}
