import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it, jest } from '@jest/globals';
import { createLogger, ShutdownSequence } from './index.ts';

function quiet() {
  const lines: string[] = [];
  return { lines, logger: createLogger({ process: 'agent', destination: { write: (line) => void lines.push(line) } }) };
}

it('runs its steps in order, once, and goes on behind a failure', async () => {
  const { logger, lines } = quiet();
  const ran: string[] = [];
  const sequence = new ShutdownSequence(logger)
    .add('intake', 100, () => ran.push('intake'))
    .add('drain', 100, () => Promise.reject(new Error('stuck')))
    .add('pool', 100, async () => ran.push('pool'));
  const [first, second] = await Promise.all([sequence.run('SIGTERM'), sequence.run('SIGINT')]);
  expect(ran).toEqual(['intake', 'pool']);
  expect(second).toBe(first);
  expect(first.map(({ name, outcome }) => [name, outcome])).toEqual([
    ['intake', 'done'],
    ['drain', 'failed'],
    ['pool', 'done'],
  ]);
  expect(lines.filter((line) => line.includes('stuck'))).toHaveLength(1);
});

it('leaves a step that overruns its bound', async () => {
  jest.useFakeTimers();
  try {
    const sequence = new ShutdownSequence(quiet().logger)
      .add('drain', 5_000, () => new Promise(() => undefined))
      .add('pool', 100, () => undefined);
    const report = sequence.run('SIGTERM');
    await jest.advanceTimersByTimeAsync(5_000);
    expect((await report).map(({ outcome }) => outcome)).toEqual(['overran', 'done']);
  } finally {
    jest.useRealTimers();
  }
});

/** A real process, because signals and exit codes are what is tested. */
async function child(script: string, act: (kill: (signal: NodeJS.Signals) => void) => void, actAt = 'up') {
  const source = `
    import { createLogger, installSignalHandlers, ShutdownSequence } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
    const logger = createLogger({ process: 'agent' });
    const sequence = new ShutdownSequence(logger);
    ${script}`;
  const started = spawn(process.execPath, [
    '--input-type=module',
    '--experimental-transform-types',
    '--no-warnings',
    '-e',
    source,
  ]);
  let output = '';
  let isActed = false;
  started.stdout.on('data', (chunk) => {
    output += chunk;
    if (!isActed && output.includes(actAt)) {
      isActed = true;
      act((signal) => started.kill(signal));
    }
  });
  started.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const timer = setTimeout(() => started.kill('SIGKILL'), 20_000);
  const [code, signal] = await once(started, 'close');
  clearTimeout(timer);
  return { code, signal, output };
}

const serve = "installSignalHandlers(sequence, logger); setInterval(() => {}, 1000); console.log('up');";

it.each(['SIGTERM', 'SIGINT'] as const)(
  '%s runs the sequence and exits 0',
  async (signal) => {
    const { code, output } = await child(`sequence.add('pool', 1000, () => console.log('closed')); ${serve}`, (kill) =>
      kill(signal),
    );
    expect([code, output.includes('closed')]).toEqual([0, true]);
  },
  30_000,
);

it('a second signal ends it at once', async () => {
  const { code } = await child(
    `sequence.add('drain', 60000, () => { console.log('drain' + 'ing'); process.kill(process.pid, 'SIGINT'); return new Promise(() => {}); }); ${serve}`,
    (kill) => kill('SIGTERM'),
  );
  expect(code).toBe(1);
}, 30_000);

it.each([
  ['a rejection', "Promise.reject(new Error('nobody caught this'))"],
  ['a throw', "setImmediate(() => { throw new Error('nobody caught this'); })"],
])(
  '%s that nobody caught is logged, runs the sequence and exits 1',
  async (_, crash) => {
    const { code, output } = await child(
      `sequence.add('pool', 1000, () => console.log('closed')); ${serve} ${crash};`,
      () => undefined,
    );
    expect([code, output.includes('closed'), output.includes('nobody caught this')]).toEqual([1, true, true]);
  },
  30_000,
);
