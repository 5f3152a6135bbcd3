/** Jobs as their owner and their operator see them: real processes on dc-1, killed agents, a killed control plane. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CreateJob, JobDto } from '#contracts';
import { eventually } from '#testing';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import { MODEL } from '../../deploy/quickstart/story.ts';
import { isRunning, processesNaming } from './processes.fixture.ts';
import { TestFleet } from './test-fleet.fixture.ts';

const CENTRAL = 'dc-1';
const COUNT = join(PROJECT_ROOT, 'test/fixtures/jobs/count.mjs');
const CLI = join(PROJECT_ROOT, '.cache/dist/apps/cli/src/main.js');

const cores = (count: number) => ({ deviceType: 'cpu', count, schedulingPolicy: { topologyScope: 'node' } }) as const;

const count = (name: string, steps: number, rest: Partial<CreateJob> = {}): CreateJob => ({
  name,
  kind: 'command',
  claim: cores(1),
  selector: { clusterNames: [CENTRAL] },
  command: [process.execPath, COUNT, '--steps', String(steps), '--step-ms', '100'],
  checkpoint: { mode: 'file' },
  graceSeconds: 20,
  ...rest,
});

describe('jobs', () => {
  let fleet: TestFleet;
  beforeAll(async () => {
    fleet = await TestFleet.start();
  }, 90_000);
  afterAll(() => fleet?.stop(), 60_000);

  /** Waits until a job is as wanted; what failed otherwise is said at once. */
  function until(name: string, isSo: (job: JobDto) => boolean, timeoutMs = 40_000): Promise<JobDto> {
    return eventually(
      async () => {
        const job = await fleet.admin.job(name);
        if (!isSo(job)) throw new Error(`${name} is ${job.phase}: ${job.reason} (${job.progress ?? 'no progress'})`);
        return job;
      },
      { timeoutMs, intervalMs: 100 },
    );
  }
  const ended = (name: string, phase: JobDto['phase'], timeoutMs?: number) =>
    until(name, (job) => job.phase === phase, timeoutMs);
  const counting = (name: string, from = 3) =>
    until(name, ({ phase, progress }) => phase === 'Running' && Number(/step (\d+)/.exec(progress ?? '')?.[1]) >= from);

  /** The command line as a person runs it. */
  async function atoll(...args: string[]): Promise<string> {
    const token = (await readFile(fleet.processes.ownerKeyFile, 'utf8')).trim();
    const { NODE_OPTIONS: _, ...env } = process.env;
    const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], {
      env: { ...env, ATOLL_URL: fleet.processes.controlPlaneUrl, ATOLL_TOKEN: token },
    });
    return stdout;
  }

  async function devices(): Promise<number> {
    const [node] = (await fleet.cluster(CENTRAL)).observed?.nodes ?? [];
    return node!.devices.length;
  }

  async function pidOf(job: string): Promise<number> {
    const found = (await processesNaming(job)).filter(({ commandLine }) => commandLine.includes('count.mjs'));
    // The runner that outlives the agent carries the same names; the command is its newest child.
    return Math.max(...found.map(({ pid }) => pid));
  }

  it('R5: an agent that is killed finds its task running, and the attempt goes on as the same process', async () => {
    await fleet.admin.submitJob(count('outlives', 60));
    await counting('outlives');
    const pid = await pidOf('outlives');
    await fleet.kill(CENTRAL);
    expect(isRunning(pid)).toBe(true);
    await fleet.processes.restart(CENTRAL);
    const job = await ended('outlives', 'Succeeded');
    expect(job.attempts).toBe(1);
    const log = await fleet.admin.jobLog('outlives');
    expect(log.match(/counts to 60/g)).toHaveLength(1);
    expect(log).toMatch(/done after step 60 of 60/);
  }, 90_000);

  it('P01: a more important job takes the devices; the other saves, waits, and goes on where it was', async () => {
    const all = await devices();
    await fleet.admin.submitJob(count('low', 60, { claim: cores(all), priorityClass: 'low' }));
    await counting('low', 5);
    const planned = await fleet.admin.planJob(count('high', 5, { priorityClass: 'high' }));
    expect(planned).toMatchObject({ state: 'nominated', victims: [{ job: 'low' }] });
    await fleet.admin.submitJob(count('high', 5, { priorityClass: 'high' }));
    const preempted = await until('low', ({ preemptions, phase }) => preemptions === 1 && phase !== 'Stopping');
    expect(preempted.checkpoint?.progress).toMatch(/^step \d+ of 60$/);
    await ended('high', 'Succeeded');
    const low = await ended('low', 'Succeeded');
    expect(low.attempts).toBe(2);
    const log = await fleet.admin.jobLog('low');
    expect(log).toMatch(`resumed from ${preempted.checkpoint?.progress}`);
    expect(await atoll('explain', 'job', 'low')).toMatch(/high/);
    const [second, first] = await fleet.admin.jobAttempts('low');
    expect([first?.outcome, second?.outcome]).toEqual(['preempted', 'succeeded']);
    expect(second?.resumedFrom?.progress).toBe(preempted.checkpoint?.progress);
  }, 120_000);

  it('R1: a control plane that is killed in the middle of a preemption loses nothing and runs nothing twice', async () => {
    const all = await devices();
    await fleet.admin.submitJob(count('victim', 150, { claim: cores(all), priorityClass: 'low' }));
    await counting('victim', 5);
    await fleet.admin.submitJob(count('urgent', 5, { priorityClass: 'high' }));
    await until('victim', ({ phase }) => phase === 'Stopping' || phase === 'Queued');
    await fleet.kill('control-plane');
    await fleet.processes.restart('control-plane');
    await ended('urgent', 'Succeeded', 60_000);
    const victim = await ended('victim', 'Succeeded', 60_000);
    expect(victim.attempts).toBe(2);
    expect((await fleet.admin.job('urgent')).attempts).toBe(1);
    expect(await fleet.admin.jobLog('victim')).toMatch(/resumed from step \d+ of 150/);
  }, 150_000);

  it('a fine-tune’s output is published as a version whose parent is its base', async () => {
    await fleet.admin.submitJob({
      ...count('tune', 1),
      kind: 'fine-tune',
      mounts: { base: { model: MODEL, version: 1 } },
      command: [
        'sh',
        '-c',
        'cp -L "$ATOLL_BASE_DIR"/* "$ATOLL_OUTPUT_DIR"/ && echo tuned > "$ATOLL_OUTPUT_DIR"/notes.txt',
      ],
      checkpoint: { mode: 'none' },
      output: { required: true, publish: { model: MODEL, alias: 'candidate' } },
    });
    const job = await until('tune', ({ published, phase }) => phase === 'Succeeded' && published !== null);
    const version = await fleet.admin.version(MODEL, job.published!.version);
    expect(version).toMatchObject({ phase: 'Published', parent: 1 });
    const artifacts = await fleet.admin.jobArtifacts('tune');
    expect(artifacts.files.map(({ path }) => path)).toContain('notes.txt');
  }, 60_000);

  it('a diamond of jobs runs in order, once each; a failure cancels what needs success (D01, D02, D04)', async () => {
    const quick = (name: string, dependsOn: string[], code = 0): CreateJob => ({
      ...count(name, 1),
      command: ['sh', '-c', `exit ${code}`],
      checkpoint: { mode: 'none' },
      retry: { limit: 0 },
      dependsOn: dependsOn.map((job) => ({ job })),
    });
    await fleet.admin.submitJob(quick('top', []));
    await fleet.admin.submitJob(quick('left', ['top']));
    await fleet.admin.submitJob(quick('right', ['top'], 3));
    await fleet.admin.submitJob(quick('bottom', ['left', 'right']));
    await fleet.admin.submitJob({ ...quick('cleanup', []), dependsOn: [{ job: 'right', when: 'always' }] });
    const right = await ended('right', 'Failed');
    expect(right.reason).toMatch(/3/);
    expect((await ended('bottom', 'Cancelled')).reason).toMatch(/right/);
    await ended('left', 'Succeeded');
    expect((await ended('cleanup', 'Succeeded')).attempts).toBe(1);
  }, 90_000);

  it('U2: what cannot run says why, and what to do', async () => {
    await fleet.admin.submitJob({ ...count('nobody', 1), command: ['/no/such/program'], retry: { limit: 0 } });
    expect((await ended('nobody', 'Failed')).reason).toMatch(/\/no\/such\/program/);
    await fleet.admin.submitJob({
      ...count('empty', 1),
      command: ['true'],
      retry: { limit: 0 },
      output: { required: true },
    });
    expect((await ended('empty', 'Failed')).reason).toMatch(/output/);
    expect((await fleet.admin.submitJob(count('huge', 1, { claim: cores(4_000) }))).warning).toMatch(/never|largest/);
    const text = await eventually(async () => {
      const said = await atoll('explain', 'job', 'huge');
      expect(said).toMatch(/4000|4,000/);
      return said;
    });
    expect(text).toMatch(/largest/);
    expect(await atoll('queue', 'show', 'default')).toMatch(/huge/);
    await fleet.admin.steerJob('huge', 'cancel');
    await ended('huge', 'Cancelled');
  }, 60_000);
});
