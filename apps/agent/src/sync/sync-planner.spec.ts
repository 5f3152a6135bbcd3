import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { SyncPlanReply, SyncPlanRequest } from '#contracts';
import { MessagingError, RequestRefusedError } from '#messaging';
import { SyncPlanner } from './sync-planner.ts';

const WANTED = 'a'.repeat(64);
const wait: SyncPlanReply = { decision: 'wait', reason: 'waits for the window', retryAfterSeconds: 5 };
const idOf = (number: number) => `01900000-0000-7000-8000-${number.toString().padStart(12, '0')}`;

describe('asking for a sync plan', () => {
  function planner(...answers: (() => unknown)[]) {
    const seen: SyncPlanRequest[] = [];
    let nowMs = 0;
    const centre = { isAnswering: true };
    const asked = new SyncPlanner({
      request: (request) => {
        seen.push(request);
        return Promise.resolve().then(answers.shift() ?? (() => wait));
      },
      isAnswering: () => Promise.resolve(centre.isAnswering),
      measures: () => ({ applyBytesPerSecond: { fast: 5 }, diskFreeBytes: 7 }),
      log: pino({ level: 'silent' }),
      nowMs: () => nowMs,
    });
    return { asked, seen, centre, pass: (ms: number) => (nowMs += ms) };
  }
  const fails = (failure: MessagingError['failure']) => () => {
    throw new MessagingError(failure, failure);
  };

  it('tells what is held, what failed here and what was measured', async () => {
    const { asked, seen } = planner();
    asked.avoidArtifact(idOf(1));
    asked.avoidNeighbour('edge-2');
    expect(await asked.ask(WANTED, ['b'.repeat(64)])).toEqual(wait);
    expect(seen).toEqual([
      {
        versionDigest: WANTED,
        held: ['b'.repeat(64)],
        avoid: [idOf(1)],
        avoidNeighbours: ['edge-2'],
        measures: { applyBytesPerSecond: { fast: 5 }, diskFreeBytes: 7 },
      },
    ]);
  });

  const nones = [
    { name: 'R21: nobody on the subject', answers: [fails('no-responder')], wantAsked: 1 },
    { name: 'R21: credentials of an older centre', answers: [fails('forbidden')], wantAsked: 1 },
    { name: 'silence, twice', answers: [fails('timeout'), fails('timeout')], wantAsked: 2 },
    {
      name: 'a refusal',
      answers: [
        () => {
          throw new RequestRefusedError('not-found', 'no such version');
        },
      ],
      wantAsked: 1,
    },
    { name: 'an answer of another contract', answers: [() => ({ decision: 'teleport' })], wantAsked: 1 },
    { name: 'an answer that is nothing', answers: [() => null], wantAsked: 1 },
  ];
  it.each(nones)('whole files: $name', async ({ answers, wantAsked }) => {
    const { asked, seen } = planner(...answers);
    expect([await asked.ask(WANTED, []), seen.length]).toEqual([null, wantAsked]);
  });

  it('cut off is no answer yet', async () => {
    await expect(planner(fails('unreachable')).asked.ask(WANTED, [])).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it.each(['no-responder', 'timeout'] as const)(
    'R17: a centre that answers nothing at all is away: %s',
    async (failure) => {
      const { asked, centre } = planner(fails(failure), fails(failure));
      centre.isAnswering = false;
      await expect(asked.ask(WANTED, [])).rejects.toMatchObject({ fault: 'unreachable' });
    },
  );

  it('R17: a centre that fails inside at everything is away; one that fails at plans alone means whole files', async () => {
    const failed = () => {
      throw new RequestRefusedError('internal', 'The request failed inside; it is logged there.');
    };
    const { asked, centre } = planner(failed, failed);
    centre.isAnswering = false;
    await expect(asked.ask(WANTED, [])).rejects.toMatchObject({ fault: 'unreachable' });
    centre.isAnswering = true;
    expect(await asked.ask(WANTED, [])).toBeNull();
  });

  it('a centre with too much to do is not given whole versions to send on top', async () => {
    const busy = () => {
      throw new RequestRefusedError('overloaded', 'Too many wait.');
    };
    await expect(planner(busy).asked.ask(WANTED, [])).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it('one silence is not the end', async () => {
    expect(await planner(fails('timeout')).asked.ask(WANTED, [])).toEqual(wait);
  });

  it('R21: credentials that do not cover the subject are not tried for a minute, then again', async () => {
    const { asked, seen, pass } = planner(fails('forbidden'));
    expect(await asked.ask(WANTED, [])).toBeNull();
    pass(59_000);
    expect([await asked.ask(WANTED, []), seen.length]).toEqual([null, 1]);
    pass(1_000);
    expect([await asked.ask(WANTED, []), seen.length]).toEqual([wait, 2]);
  });

  it('a neighbour that failed is left alone for a minute; an artifact until the agent starts anew', async () => {
    const { asked, seen, pass } = planner();
    asked.avoidArtifact(idOf(1));
    asked.avoidNeighbour('edge-2');
    pass(60_000);
    await asked.ask(WANTED, []);
    expect(seen.map(({ avoid, avoidNeighbours }) => [avoid, avoidNeighbours])).toEqual([[[idOf(1)], []]]);
  });

  it('forgets the oldest failed artifacts at the bound', async () => {
    const { asked, seen } = planner();
    for (let number = 0; number < 1_001; number += 1) asked.avoidArtifact(idOf(number));
    await asked.ask(WANTED, []);
    expect([seen[0]!.avoid.length, seen[0]!.avoid[0], seen[0]!.avoid.at(-1)]).toEqual([1_000, idOf(1), idOf(1_000)]);
  });
});
