import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../../test/temporary-folder.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from './engine-adapter.ts';
import { judgeAnswer } from './generation-probe.ts';
import { Replica } from './replica.ts';

const spec: EngineSpec = {
  replicaId: 'r',
  deploymentId: 'd',
  versionDigest: 'v',
  servedModel: 'm',
  modelPath: '/model',
  maxConcurrent: 1,
  maxQueue: 1,
};

const instanceOf = (generation: number, isProven = false): EngineInstance => ({
  replicaId: 'r',
  deploymentId: 'd',
  versionDigest: 'v',
  generation,
  instanceId: `i${generation}`,
  specHash: '',
  servedModel: 'm',
  processId: 1,
  isProven,
});

/** Engines that are in `state` from their start, on a machine that refuses to end `stopFailures` of them. */
class FakeEngine extends EngineAdapter {
  readonly calls: string[] = [];
  stopFailures = 0;
  state: EngineState = { state: 'gone', reason: 'out of memory' };

  override async start(_spec: EngineSpec, generation: number): Promise<EngineInstance> {
    this.calls.push(`start ${generation}`);
    return instanceOf(generation);
  }

  override async probe(): Promise<EngineState> {
    return this.state;
  }

  override async noteProven({ instanceId }: EngineInstance): Promise<void> {
    this.calls.push(`proven ${instanceId}`);
  }

  override async stop({ instanceId }: EngineInstance): Promise<void> {
    this.calls.push(`stop ${instanceId}`);
    this.stopFailures -= 1;
    if (this.stopFailures >= 0) throw new Error('read-only file system');
  }

  override async list(): Promise<EngineInstance[]> {
    return [];
  }
}

function replicaOn(engine: EngineAdapter, startTimeoutMs = 10_000) {
  const nothing = () => undefined;
  return new Replica(spec, { engine, startTimeoutMs, onChange: nothing, onReady: nothing, onFailed: nothing });
}

describe('R10: an engine that ended and cannot be cleared away', () => {
  it('is Failed with its own reason, and is cleared away before the next start', async () => {
    const engine = new FakeEngine();
    engine.stopFailures = 1;
    const replica = replicaOn(engine);
    replica.start(spec);
    await until(() => replica.phase === 'Failed', 'it failed');
    expect(replica.reason).toBe('out of memory');
    replica.start(spec);
    await until(() => replica.restarts === 1 && replica.phase === 'Failed', 'it failed again');
    expect(engine.calls).toEqual(['start 1', 'stop i1', 'stop i1', 'start 2', 'stop i2']);
  });
});

const completion = JSON.stringify({
  object: 'text_completion',
  choices: [{ index: 0, text: '', finish_reason: 'stop' }],
});
const problem = (message: string) => JSON.stringify({ error: { message, type: 'server_error' } });

describe('a new engine is probed before it takes traffic', () => {
  let server: Server;
  let engine: FakeEngine;
  let replica: Replica;
  /** How the engine answers, one a request; the last one for good. Undefined: never. */
  let answers: ([number, string] | undefined)[];
  let asked: { readonly headers: IncomingMessage['headers']; readonly url: string; readonly body: unknown }[];

  beforeEach(async () => {
    [asked, answers] = [[], []];
    server = createServer((request, response) => void answer(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    engine = new FakeEngine();
    engine.state = {
      state: 'ready',
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: 'secret',
    };
    replica = replicaOn(engine);
  });
  afterEach(async () => {
    await replica.stop('the test ends', 0);
    server.closeAllConnections();
    server.close();
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: unknown = JSON.parse((await request.toArray()).join(''));
    asked.push({ headers: request.headers, url: request.url ?? '', body });
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next !== undefined) response.writeHead(next[0]).end(next[1]);
  }

  it('by one token of its model, and is Ready once that came; then it is proven for good', async () => {
    answers = [[200, completion]];
    replica.start(spec);
    await until(() => replica.phase === 'Ready', 'it is ready');
    expect(asked).toMatchObject([
      {
        url: '/v1/completions',
        headers: { authorization: 'Bearer secret' },
        body: { model: 'm', max_tokens: 1, prompt: 'Hello' },
      },
    ]);
    expect([engine.calls, replica.endpoint?.token]).toEqual([['start 1', 'proven i1'], 'secret']);
  });

  it('R8: is asked for its load from then on, and one that hangs on that is probed all the same', async () => {
    answers = [[200, completion]];
    const asked: string[] = [];
    engine.load = async ({ instanceId }) => {
      asked.push(instanceId);
      return asked.length === 1 ? { running: 3 } : new Promise<null>(() => undefined);
    };
    replica.start(spec);
    expect([replica.load(), asked]).toEqual([null, []]);
    await until(() => replica.load() !== null, 'its load is read');
    replica.requestBegan();
    replica.requestBegan();
    replica.requestEnded();
    expect([replica.load(), replica.inflightOfLate]).toEqual([{ running: 3 }, 2]);
    await until(() => asked.length === 2, 'it hangs');
    engine.state = { state: 'gone', reason: 'The engine ended by SIGSEGV.' };
    await until(() => replica.phase === 'Failed', 'it failed');
    expect([asked, replica.load(), replica.reason]).toEqual([['i1', 'i1'], null, 'The engine ended by SIGSEGV.']);
  });

  it('and takes none while the probe runs', async () => {
    answers = [undefined];
    replica.start(spec);
    await until(() => asked.length === 1, 'it is asked');
    expect([replica.phase, replica.endpoint]).toEqual(['Starting', undefined]);
  });

  it('one that is full is asked again', async () => {
    answers = [
      [503, problem('The engine and its queue are full.')],
      [429, 'slow down'],
      [200, completion],
    ];
    replica.start(spec);
    await until(() => replica.phase === 'Ready', 'it is ready');
    expect(asked).toHaveLength(3);
  });

  it('one that cannot is Failed in its own words, ended, and probed again after its next start', async () => {
    answers = [
      [500, problem('CUDA error: out of memory')],
      [200, completion],
    ];
    replica.start(spec);
    await until(() => replica.phase === 'Failed', 'it failed');
    expect(replica.reason).toBe('The engine answered 500 to the probe: CUDA error: out of memory');
    expect([engine.calls, replica.endpoint]).toEqual([['start 1', 'stop i1'], undefined]);
    replica.start(spec);
    await until(() => replica.phase === 'Ready', 'it is ready');
    expect(asked).toHaveLength(2);
  });

  it.each<[string, [number, string] | undefined, RegExp]>([
    ['never answers', undefined, /^The engine did not pass its probe \(.*did not answer.*\) within 2 s/],
    ['stays full', [503, problem('full')], /^The engine did not pass its probe \(.*503.*full\) within 2 s/],
  ])('one that %s is Failed after its time', async (_name, only, want) => {
    answers = [only];
    // Long enough for one answer, however busy the machine.
    replica = replicaOn(engine, 2_000);
    replica.start(spec);
    await until(() => replica.phase === 'Failed', 'it failed');
    expect(replica.reason).toMatch(want);
  });

  it('one that ends in the middle tells why it ended', async () => {
    answers = [undefined];
    replica.start(spec);
    await until(() => asked.length === 1, 'it is asked');
    engine.state = { state: 'gone', reason: 'The engine ended by SIGSEGV.' };
    server.closeAllConnections();
    await until(() => replica.phase === 'Failed', 'it failed');
    expect(replica.reason).toBe('The engine ended by SIGSEGV.');
  });

  it('stopped in the middle, it is ended and stays stopped', async () => {
    answers = [undefined];
    replica.start(spec);
    await until(() => asked.length === 1, 'it is asked');
    await replica.stop('no longer wanted', 0);
    expect([replica.phase, replica.endpoint, engine.calls]).toEqual(['Stopping', undefined, ['start 1', 'stop i1']]);
  });

  it('R5: an adopted one that was proven is Ready without being asked', async () => {
    answers = [undefined];
    replica.adopt(instanceOf(3, true));
    await until(() => replica.phase === 'Ready', 'it is ready');
    expect([asked, engine.calls]).toEqual([[], []]);
  });

  it('R5: an adopted one that was not proven is asked; too busy to answer, it is at work, and stays', async () => {
    answers = [[503, problem('full')]];
    replica.adopt(instanceOf(3));
    await until(() => replica.phase === 'Ready', 'it is ready');
    expect([asked.length, engine.calls]).toEqual([1, []]);
  });

  it('an adopted one that is started anew later is probed like any other', async () => {
    answers = [[503, problem('full')]];
    replica = replicaOn(engine, 2_000);
    engine.state = { state: 'gone', reason: 'ended' };
    replica.adopt(instanceOf(3));
    await until(() => replica.phase === 'Failed', 'it ended');
    engine.state = {
      state: 'ready',
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: 'secret',
    };
    replica.start(spec);
    await until(() => replica.phase === 'Failed' && asked.length > 0, 'it failed');
    expect(replica.reason).toMatch(/did not pass its probe/);
  });

  it('cut off while it drains, it ends without its answers', async () => {
    answers = [[200, completion]];
    replica.start(spec);
    await until(() => replica.phase === 'Ready', 'it is ready');
    replica.requestBegan();
    const stopped = replica.stop('draining', 60_000);
    expect(replica.endpoint).toBeDefined();
    replica.cutDrain();
    await stopped;
    expect([replica.endpoint, engine.calls.at(-1)]).toEqual([undefined, 'stop i1']);
  });
});

describe('what an answer to the probe says', () => {
  const full = problem('full');
  it.each<[number, string, { answer: string; reason?: unknown }]>([
    [200, completion, { answer: 'generated' }],
    [200, '{"choices":[{"text":"x"}],"more":1}', { answer: 'generated' }],
    [200, '{"choices":[]}', { answer: 'failed', reason: expect.stringMatching(/without a completion/) }],
    [200, '<html>', { answer: 'failed', reason: expect.stringMatching(/<html>/) }],
    [200, '', { answer: 'failed', reason: expect.any(String) }],
    [503, full, { answer: 'busy', reason: 'The engine answered 503 to the probe: full' }],
    [429, '', { answer: 'busy', reason: 'The engine answered 429 to the probe: nothing more' }],
    [
      404,
      problem('no such model'),
      { answer: 'failed', reason: 'The engine answered 404 to the probe: no such model' },
    ],
    [
      500,
      `${'x'.repeat(9_000)}`,
      { answer: 'failed', reason: `The engine answered 500 to the probe: ${'x'.repeat(300)}` },
    ],
  ])('%i, case %#', (status, text, want) => {
    expect(judgeAnswer(status, text)).toEqual(want);
  });
});
