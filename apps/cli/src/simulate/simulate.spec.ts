import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { run } from '../../test/cli.fixture.ts';

const TRACES = resolve(import.meta.dirname, '../../../../test/fixtures/traces');
const JOBS = join(TRACES, 'philly-2000.csv');
const PROMPTS = join(TRACES, 'mooncake-conversation-1500.jsonl');
const REQUESTS = join(TRACES, 'azure-conv-3000.csv');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-simulate-'));
  const jobs = ['0,a,x,1,600', '60,b,x,2,120', '90,c,x,2,60', '4000,d,x,1,60'];
  writeFileSync(join(folder, 'jobs.csv'), `arrival_s,vc,job_type,num_gpu,duration_s_v100\n${jobs.join('\n')}\n`);
  writeFileSync(join(folder, 'other.csv'), 'time,size\n1,2\n');
  writeFileSync(join(folder, 'bad.csv'), 'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,many,1\n');
  const once = { timestamp: 7, input_length: 1, output_length: 1, hash_ids: [1] };
  writeFileSync(join(folder, 'once.jsonl'), `${JSON.stringify(once)}\n`.repeat(2));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const simulate = (...options: readonly string[]) => run(['simulate', ...options], { cwd: folder });

describe('atoll simulate', () => {
  it('compares policies on a trace of jobs, and says what was drawn and stretched', async () => {
    const { exitCode, out } = await simulate('--trace', 'jobs.csv', '--fleet', '1x2', '--load', '0.5');
    expect(exitCode).toBe(0);
    expect(out).toContain('4 jobs, stretched to a load of 0.5; classes (high 20 %, medium 30 %, low 50 %)');
    expect(out).toContain('by seeds 1, 2, 3; estimates exact; 2 devices: 1 racks × 1 nodes × 2');
    expect(out).toMatch(/^fifo-backfill +\S+/m);
    expect(out).toMatch(/^atoll +high +/m);
    expect(out).toMatch(/^(holds|DOES NOT HOLD) +the mean wait of the high class falls/m);
  });

  it('gives programs every measure, range and finding', async () => {
    const policies = ['--policy', 'fifo-backfill,atoll', '--seeds', '7'];
    const { out } = await simulate('--trace', 'jobs.csv', '--fleet', '1x1x2', ...policies, '--json');
    const simulation = JSON.parse(out);
    expect(simulation).toMatchObject({ kind: 'jobs', entries: 4, seeds: [7], loads: [0.82], devices: 2 });
    expect(simulation.comparisons.map(({ policy }: { policy: string }) => policy)).toEqual(['fifo-backfill', 'atoll']);
    expect(simulation.comparisons[0].completionChangePercent).toEqual({ mean: 0, min: 0, max: 0 });
    expect(simulation.findings.map(({ reference }: { reference: string }) => reference)).toContain('≤ 0.2 %');
  });

  it('compares orders on a trace of requests, below and above what the workers can do', async () => {
    const { out } = await simulate(
      '--trace',
      REQUESTS,
      '--seeds',
      '1',
      '--policy',
      'fcfs,class-shortest,static-priority',
    );
    expect(out).toContain('3000 requests, stretched to a load of 0.85 and 1.1');
    expect(out).toMatch(/^1\.1 +class-shortest +/m);
    expect(out).not.toContain('STOPS');
  });

  it('compares ways to route on a trace of prompts, as recorded and at half load', async () => {
    const policies = ['--policy', 'power-of-two,round-robin,least-cost,atoll', '--seeds', '1'];
    const { exitCode, out } = await simulate('--trace', PROMPTS, ...policies);
    expect(exitCode).toBe(0);
    expect(out).toContain('1500 requests, stretched to a load of 0.262 and 0.5; draws by seeds 1; sizes exact');
    expect(out).toContain('16 workers (Llama-2-70B on 8 × H100), each with 32 slots and room for 2600 blocks');
    expect(out).toMatch(/^0\.262 +atoll +1\.\d\d s +-[34]\d\.\d % /m);
    expect(out).toMatch(/^holds +at load 0\.5, the mean first token comes 45 % sooner than with power of two/m);
    expect(out).toMatch(/^holds +at load 0\.262, the reference formula herds/m);
  });

  it('gives programs the ranges of routing, on as many workers and at the load that are asked for', async () => {
    const shape = ['--workers', '8', '--slots', '16', '--cache-blocks', '500'];
    const asked = [...shape, '--load', '0.4', '--policy', 'power-of-two,atoll', '--seeds', '1,2', '--json'];
    const { out } = await simulate('--trace', PROMPTS, '--kind', 'prompts', ...asked);
    const simulation = JSON.parse(out);
    expect(simulation).toMatchObject({ kind: 'prompts', entries: 1_500, workers: 8, loads: [0.4], seeds: [1, 2] });
    expect(simulation.worker).toEqual({ slots: 16, cacheBlocks: 500 });
    const [base, atoll] = simulation.comparisons;
    expect(base.changePercent).toEqual({ mean: 0, min: 0, max: 0 });
    expect(atoll.firstTokenMsMean.mean).toBeLessThan(base.firstTokenMsMean.mean);
  });

  it.each([
    ['a trace that is none', ['other.csv'], 'other.csv: the first line must be arrival_s,vc,job_type'],
    ['no such file', ['none.csv'], 'none.csv cannot be read: no such file'],
    ['a folder', ['.'], '. cannot be read'],
    ['a bad line', ['bad.csv'], 'bad.csv: line 2: ContextTokens must be a number'],
    ['a trace of the other kind', [JOBS, '--kind', 'requests'], 'is a trace of jobs, not of requests'],
    [
      'a policy that is none',
      ['jobs.csv', '--policy', 'fcfs'],
      'there is no policy fcfs for this trace: fifo-backfill,',
    ],
    [
      'an order where prompts are routed',
      [PROMPTS, '--policy', 'fcfs'],
      'fcfs for this trace: power-of-two, round-robin,',
    ],
    ['prompts that come all at once', ['once.jsonl'], 'all of the trace arrives at one moment'],
    ['a load of nothing', ['jobs.csv', '--load', '0'], 'numbers above 0 and up to 10'],
    ['half a fleet', ['jobs.csv', '--fleet', '30'], 'a fleet is nodes × devices such as 30x8'],
    ['seeds that are none', ['jobs.csv', '--seeds', '1,x'], 'a whole number of at least 0'],
    ['an error without end', ['jobs.csv', '--estimate-sigma', '9'], 'a number from 0 to 5'],
    ['a cycle of nothing', ['jobs.csv', '--cycle-seconds', '0'], 'a whole number from 1 to'],
  ])('refuses %s', async (_name, options, want) => {
    const { exitCode, err } = await simulate('--trace', ...options);
    expect([exitCode, err]).toEqual([2, expect.stringContaining(want)]);
  });

  it('hears Ctrl-C between its steps', async () => {
    const interruption = new AbortController();
    interruption.abort();
    const told = await run(['simulate', '--trace', JOBS], { signal: interruption.signal });
    expect(told).toMatchObject({ exitCode: 130, out: '' });
  });
});
