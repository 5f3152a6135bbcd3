import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { AgentEvent } from '#contracts';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { Outbox } from './outbox.ts';

const digestOf = (digit: string) => digit.repeat(64);
const digitOf = (event: AgentEvent) => (event.kind === 'version-verified' ? event.versionDigest[0] : event.kind);

describe('the outbox: an event is kept until Postgres has it', () => {
  let folder: TemporaryFolder;
  let published: AgentEvent[];
  let dropped: number;
  let isDown: boolean;
  /** Publishing waits for it. */
  let gate: Promise<void>;
  const opened: Outbox[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
    [published, dropped, isDown, gate] = [[], 0, false, Promise.resolve()];
  });
  afterEach(async () => {
    for (const outbox of opened.splice(0)) await outbox.stop();
    await folder.remove();
  });

  async function open(eventsMax?: number): Promise<Outbox> {
    const outbox = new Outbox({
      folder: folder.path,
      publish: (event) => (isDown ? Promise.reject(new Error('down')) : gate.then(() => void published.push(event))),
      log: pino({ level: 'silent' }),
      metrics: {
        ...silentMetrics,
        eventsDropped: (count) => {
          dropped += count;
        },
      },
      eventsMax,
    });
    opened.push(outbox);
    await outbox.open();
    return outbox;
  }
  const add = (outbox: Outbox, digit: string) =>
    outbox.add({ kind: 'version-verified', versionDigest: digestOf(digit) });

  it('sends at once, and again until the acknowledgement names it', async () => {
    const outbox = await open();
    await add(outbox, 'a');
    await outbox.send();
    await outbox.send();
    expect(new Set(published.map(({ id }) => id)).size).toBe(1);
    expect(published.length).toBeGreaterThan(1);
    await outbox.acknowledged([published[0]!.id, 'unknown']);
    expect([outbox.pending, await readdir(folder.path)]).toEqual([0, []]);
  });

  it('what comes while others are sent does not wait for the next regular round', async () => {
    let release = () => {};
    gate = new Promise((resolve) => {
      release = resolve;
    });
    const outbox = await open();
    for (const digit of ['a', 'b']) await add(outbox, digit);
    release();
    await until(() => new Set(published.map(digitOf)).size === 2, 'both are sent', 5_000);
  });

  it('sends what an earlier agent left, in order', async () => {
    isDown = true;
    const before = await open();
    for (const digit of ['a', 'b', 'c']) await add(before, digit);
    await before.stop();
    isDown = false;
    await (await open()).send();
    expect(published.map(digitOf)).toEqual(['a', 'b', 'c']);
  });

  it('removes a file that was cut by a crash, and goes on', async () => {
    await writeFile(join(folder.path, 'x.json'), '{"id":');
    expect((await open()).pending).toBe(0);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('R21: leaves what a newer release wrote to an agent that can read it', async () => {
    const name = '01900000-0000-7000-8000-000000000001.json';
    await writeFile(join(folder.path, name), JSON.stringify({ id: name.replace('.json', ''), kind: 'of-tomorrow' }));
    const outbox = await open();
    await outbox.send();
    expect([outbox.pending, published, await readdir(folder.path)]).toEqual([0, [], [name]]);
  });

  it('at its bound drops the oldest and counts it', async () => {
    isDown = true;
    const outbox = await open(2);
    for (const digit of ['a', 'b', 'c']) await add(outbox, digit);
    isDown = false;
    await until(async () => {
      await outbox.send();
      return published.length >= 2;
    }, 'they are sent');
    expect([dropped, published.slice(0, 2).map(digitOf)]).toEqual([1, ['b', 'c']]);
  });

  it('one that is made again under its id is the same event; usage is never dropped', async () => {
    isDown = true;
    const outbox = await open(1);
    const id = '01900000-0000-7000-8000-0000000000aa';
    const entry = {
      tenantId: id,
      keyPublicId: 'mineaaaa',
      deploymentId: id,
      servedModel: 'tiny',
      versionDigest: digestOf('a'),
      leaseIds: [],
      ...{ requests: 1, promptTokens: 2, completionTokens: 3, estimatedRequests: 0 },
    };
    for (const eventId of [id, id]) await outbox.add({ kind: 'usage-recorded', entries: [entry] }, eventId);
    for (const digit of ['a', 'b']) await add(outbox, digit);
    expect([outbox.pending, dropped]).toEqual([2, 1]);
    expect(await readdir(folder.path)).toContain(`${id}.json`);
  });
});
