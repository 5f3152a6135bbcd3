/** What a client sees when an edge's agent or engine dies or freezes in the middle of use. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { Chats } from './chats.fixture.ts';
import { isRunning } from './processes.fixture.ts';
import { EDGES, TestFleet } from './test-fleet.fixture.ts';

const [SHANGHAI, FRANKFURT] = EDGES;
/** Three missed heartbeats, plus one that had just been sent and the look that finds out. */
const NOTICED_WITHIN_MS = 3_000 + 1_000;

describe('failover', () => {
  let fleet: TestFleet;
  beforeAll(async () => {
    fleet = await TestFleet.start();
  }, 90_000);
  afterAll(() => fleet?.stop(), 60_000);

  it('R15, R6: an agent killed in the middle of use costs no request that begins after; the next is answered at once', async () => {
    let killedAtMs = 0;
    const chats = await Chats.during(fleet, async (running) => {
      await bothAnswer(running);
      await fleet.kill(SHANGHAI);
      killedAtMs = performance.now();
      await eventually(() => expect(running.since(killedAtMs).answers.length).toBeGreaterThan(30), {
        timeoutMs: 20_000,
      });
    });
    const { answers, failures } = chats.since(killedAtMs);
    expect(failures).toEqual([]);
    expect(new Set(answers.map((answer) => answer.cluster))).toEqual(new Set([FRANKFURT]));
    expect(answers[0]!.endedAtMs - killedAtMs).toBeLessThan(3_000);
    expect(Math.max(...answers.map((answer) => answer.endedAtMs - answer.startedAtMs))).toBeLessThan(3_000);
  }, 60_000);

  it('R5, R10: the agent that starts again takes over its engine, its cluster becomes Ready and answers again', async () => {
    const enginePid = await fleet.enginePid(SHANGHAI);
    expect(isRunning(enginePid)).toBe(true);
    await fleet.processes.restart(SHANGHAI);
    await fleet.serves(SHANGHAI);
    await fleet.answers(SHANGHAI);
    expect(await fleet.enginePid(SHANGHAI)).toBe(enginePid);
    expect(isRunning(enginePid)).toBe(true);
  }, 60_000);

  it('R15, R8: an engine that is killed is started again by its agent and answers; clients notice nothing', async () => {
    const killed = await fleet.enginePid(FRANKFURT);
    let killedAtMs = 0;
    const chats = await Chats.during(fleet, async (running) => {
      await bothAnswer(running);
      process.kill(killed, 'SIGKILL');
      killedAtMs = performance.now();
      await eventually(async () => expect(await fleet.enginePid(FRANKFURT)).not.toBe(killed), { timeoutMs: 15_000 });
      const backAtMs = performance.now();
      await eventually(
        () => expect(running.since(backAtMs).answers.map((answer) => answer.cluster)).toContain(FRANKFURT),
        { timeoutMs: 20_000 },
      );
    });
    expect(chats.since(killedAtMs).failures).toEqual([]);
    await fleet.serves(FRANKFURT);
  }, 60_000);

  it('R6: requests leave an agent that froze with its sockets open, and come back when it thaws', async () => {
    let frozenAtMs = 0;
    const chats = await Chats.during(
      fleet,
      async (running) => {
        await bothAnswer(running);
        fleet.signal(SHANGHAI, 'SIGSTOP');
        frozenAtMs = performance.now();
        await eventually(
          () => expect(running.since(frozenAtMs + NOTICED_WITHIN_MS).answers.length).toBeGreaterThan(20),
          { timeoutMs: 30_000 },
        );
      },
      3,
    ).finally(() => fleet.signal(SHANGHAI, 'SIGCONT'));
    // Those that waited at the frozen one were moved, too.
    expect(chats.since(frozenAtMs - 1_000).failures).toEqual([]);
    const moved = chats.since(frozenAtMs).answers;
    expect(Math.max(...moved.map((answer) => answer.endedAtMs - answer.startedAtMs))).toBeLessThan(
      NOTICED_WITHIN_MS + 500,
    );
    const later = chats.since(frozenAtMs + NOTICED_WITHIN_MS).answers;
    expect(new Set(later.map((answer) => answer.cluster))).toEqual(new Set([FRANKFURT]));
    expect(Math.max(...later.map((answer) => answer.endedAtMs - answer.startedAtMs))).toBeLessThan(1_500);
    await fleet.answers(SHANGHAI);
  }, 60_000);
});

async function bothAnswer(chats: Chats): Promise<void> {
  const sinceMs = performance.now();
  await eventually(
    () => expect(new Set(chats.since(sinceMs).answers.map((answer) => answer.cluster))).toEqual(new Set(EDGES)),
    { timeoutMs: 20_000 },
  );
}
