/** `quickstart --once` as a user runs it: the built program, its words, its exit code, and what it leaves behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import { processesNaming } from './processes.fixture.ts';
import { EDGES } from './test-fleet.fixture.ts';

const MAIN = join(PROJECT_ROOT, '.cache/dist/deploy/quickstart/main.js');

interface Run {
  readonly child: ChildProcess;
  /** The folder that it takes: named for its process. */
  readonly folder: string;
  readonly exited: Promise<number | null>;
  output(): string;
}

const runs: Run[] = [];

function quickstart(args: readonly string[], environment: Record<string, string> = {}): Run {
  const { NODE_OPTIONS: _, DATABASE_URL: __, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: PROJECT_ROOT, env: { ...env, ...environment } });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (piece: string) => {
      text += piece;
    });
  }
  const run = {
    child,
    folder: join(PROJECT_ROOT, `.atoll/quickstart/once-${child.pid}-1`),
    exited: new Promise<number | null>((resolve) => {
      child.once('close', (code) => resolve(code));
    }),
    output: () => text,
  };
  runs.push(run);
  return run;
}

async function expectNothingLeft(run: Run): Promise<void> {
  expect(await processesNaming(run.folder)).toEqual([]);
  expect(existsSync(run.folder)).toBe(false);
}

describe('quickstart --once', () => {
  afterEach(async () => {
    for (const run of runs.splice(0)) {
      if (run.child.exitCode === null && run.child.signalCode === null) run.child.kill('SIGTERM');
      await run.exited;
      await rm(run.folder, { recursive: true, force: true });
    }
  }, 60_000);

  it('U1: does the main job and says so, twice at the same time; leaves no process and no folder', async () => {
    const both = [quickstart(['--once']), quickstart(['--once'])];
    for (const run of both) {
      expect({ code: await run.exited, output: run.output() }).toMatchObject({ code: 0 });
      const output = run.output();
      expect(output).toMatch(/\[9\/15\] chat/);
      expect(output).toMatch(/tiny-llm: \S.*\S/);
      expect(output).toMatch(new RegExp(`cluster (${EDGES.join('|')}), path dialled, version [0-9a-f]{12}…`));
      expect(output).toMatch(/first token \d+ ms, [1-9]\d* tokens in \d+ ms/);
      expect(output).toMatch(/\[10\/15\] publish a second version: version 2, .* its diff has \d+ bytes \(\d+ %\)/);
      expect(output).toMatch(
        /\[11\/15\] roll out: edge-shanghai, then edge-frankfurt, .* under \d+ chats, none failed/,
      );
      expect(output).toMatch(/\[12\/15\] roll back: version 1 serves everywhere again/);
      expect(output).toMatch(
        /\[13\/15\] run a job: counting-\w+ \(class low\) runs on \d+ devices of dc-1: step \d+ of 60/,
      );
      expect(output).toMatch(/counting-\w+: saved "step \d+ of 60" \(\d+ bytes\) and made room/);
      expect(output).toMatch(/\[14\/15\] preempt and resume: counting-\w+ went on from "step \d+ of 60" and is done/);
      expect(output).toMatch(
        /\[15\/15\] cut an edge off: with NATS gone edge-shanghai answered at \S+ by itself; NATS is back/,
      );
      expect(output).toMatch(/All of it worked in [\d.]+ s/);
      await expectNothingLeft(run);
    }
  }, 240_000);

  it('a flag that it does not know: usage, exit 2, nothing started', async () => {
    const run = quickstart(['--onec']);
    expect(await run.exited).toBe(2);
    expect(run.output()).toMatch(/--onec/);
    expect(run.output()).toMatch(/Usage: \.\/atoll quickstart/);
    await expectNothingLeft(run);
  }, 20_000);

  it('an engine that it does not know: which there are, exit 2, nothing started', async () => {
    const run = quickstart(['--once', '--engine', 'gpu']);
    expect(await run.exited).toBe(2);
    expect(run.output()).toContain("There is no engine 'gpu' here: --engine takes llama or sim.");
    await expectNothingLeft(run);
  }, 20_000);

  it('Ctrl-C in the middle stops everything in order and leaves nothing', async () => {
    const run = quickstart(['--once']);
    await eventually(() => expect(run.output()).toMatch(/\[3\/15\] control plane: http/), { timeoutMs: 60_000 });
    expect((await processesNaming(run.folder)).length).toBeGreaterThan(2);
    run.child.kill('SIGINT');
    expect(await run.exited).toBe(130);
    expect(run.output()).toMatch(/stopped; no process is left/);
    expect(run.output()).not.toMatch(/failed/);
    await expectNothingLeft(run);
  }, 90_000);

  it('U2: a machine on which the engine cannot run: exit 1, the failing step, its log and what to do', async () => {
    const run = quickstart(['--once'], { ATOLL_ENGINE_MODULES: join(PROJECT_ROOT, 'no-such-folder') });
    expect({ code: await run.exited, output: run.output() }).toMatchObject({ code: 1 });
    const output = run.output();
    expect(output).toMatch(/\[7\/15\] deploy: failed/);
    expect(output).toMatch(/quickstart failed: the deployment does not serve: 0 of 2 replica\(s\) ready; edge-/);
    expect(output).toMatch(/no-such-folder|node-llama-cpp/);
    expect(output).toMatch(/The end of its log:\n {2}\| /);
    expect(output).toMatch(/What to do: /);
    expect(await processesNaming(run.folder)).toEqual([]);
    // Its logs stay to be looked at.
    expect(existsSync(join(run.folder, 'logs/edge-shanghai.log'))).toBe(true);
  }, 90_000);

  it('U2: a setting that is nobody’s: exit 1, named with the step that met it', async () => {
    const run = quickstart(['--once'], { ATOLL_HTTP_PROT: '80' });
    expect(await run.exited).toBe(1);
    expect(run.output()).toMatch(/: failed/);
    expect(run.output()).toMatch(/ATOLL_HTTP_PROT/);
    expect(await processesNaming(run.folder)).toEqual([]);
  }, 60_000);
});
