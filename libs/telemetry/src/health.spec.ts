import { expect, it, jest } from '@jest/globals';
import { HealthRegistry } from './index.ts';

function clocked() {
  const clock = { nowMs: 0 };
  return { clock, health: new HealthRegistry(() => clock.nowMs) };
}

it('is ready without checks', async () => {
  expect(await new HealthRegistry().readiness()).toEqual({ status: 'ready', checks: [] });
});

it('says what is wrong and since when', async () => {
  const { clock, health } = clocked();
  const answers: (string | null)[] = [null, 'no link', 'no link', null];
  health.register('nats', () => answers.shift() ?? null);
  const seen: unknown[] = [];
  for (const nowMs of [0, 2_000, 5_000, 7_000]) {
    clock.nowMs = nowMs;
    const { status, checks } = await health.readiness();
    seen.push([status, checks[0]?.reason, checks[0]?.sinceSeconds]);
  }
  expect(seen).toEqual([
    ['ready', '', 0],
    ['not-ready', 'no link', 0],
    ['not-ready', 'no link', 3],
    ['ready', '', 0],
  ]);
});

it('asks at most once a second', async () => {
  const { clock, health } = clocked();
  let asked = 0;
  health.register('pool', () => {
    asked += 1;
    return null;
  });
  for (const nowMs of [0, 500, 1_000, 1_001]) {
    clock.nowMs = nowMs;
    await health.readiness();
  }
  expect(asked).toBe(2);
});

it('takes a throw as not well', async () => {
  const health = new HealthRegistry();
  health.register('pool', () => Promise.reject(new Error('refused')));
  expect(await health.readiness()).toMatchObject({
    status: 'not-ready',
    checks: [{ name: 'pool', ok: false, reason: 'refused' }],
  });
});

it('takes silence as not well, at the bound', async () => {
  jest.useFakeTimers();
  try {
    const health = new HealthRegistry();
    health.register('nats', () => new Promise(() => undefined));
    const answer = health.readiness();
    await jest.advanceTimersByTimeAsync(2_000);
    expect((await answer).checks[0]?.reason).toBe('no answer within 2 s');
  } finally {
    jest.useRealTimers();
  }
});

it('is not ready once it is stopping, whatever the checks say', async () => {
  const health = new HealthRegistry();
  health.register('pool', () => null);
  health.beginStopping();
  expect((await health.readiness()).status).toBe('stopping');
});
