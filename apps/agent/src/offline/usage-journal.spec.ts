import { appendFile, cp, type FileHandle, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import {
  type BegunUsage,
  SegmentWriter,
  type SummedUsage,
  type UsageEvent,
  UsageJournal,
  type UsageJournalOptions,
} from '#inference';
import { DEPLOYMENT_ID, DIGEST, TENANT_ID } from '../../test/offline.builders.ts';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';

const LEASE = '01900000-0000-7000-8000-00000000f001';

let folder: TemporaryFolder;
let told: Map<string, SummedUsage[]>;
let journals: UsageJournal[];
beforeEach(async () => {
  folder = await temporaryFolder();
  told = new Map();
  journals = [];
});
afterEach(async () => {
  for (const journal of journals) await journal.stop();
  await folder.remove();
});

const usageOf = (change: Partial<BegunUsage> = {}): BegunUsage => ({
  id: uuidv7(),
  tenantId: TENANT_ID,
  keyPublicId: 'mineaaaa',
  deploymentId: DEPLOYMENT_ID,
  servedModel: 'tiny',
  versionDigest: DIGEST,
  leaseIds: [LEASE],
  promptTokens: 10,
  reservedTokens: 100,
  ...change,
});
const exactly = (promptTokens: number, completionTokens: number) => ({
  promptTokens,
  completionTokens,
  isEstimated: false,
});

function journalOf(change: Partial<UsageJournalOptions> = {}): UsageJournal {
  const journal = new UsageJournal({
    folder: folder.path,
    tell: async ({ id, entries }) => {
      // What is told twice must be the same.
      if (told.has(id)) expect(entries).toEqual(told.get(id));
      told.set(id, entries);
    },
    mayTell: () => true,
    isInContact: () => false,
    onSwitch: () => () => Promise.resolve(),
    log: pino({ level: 'silent' }),
    ...change,
  });
  journals.push(journal);
  return journal;
}

async function opened(change: Partial<UsageJournalOptions> = {}): Promise<UsageJournal> {
  const journal = journalOf(change);
  await journal.open();
  return journal;
}

/** All that was told, each event once. */
function sums() {
  const entries = [...told.values()].flat();
  const sum = (of: (entry: SummedUsage) => number) => entries.reduce((total, entry) => total + of(entry), 0);
  return {
    requests: sum(({ requests }) => requests),
    tokens: sum(({ promptTokens, completionTokens }) => promptTokens + completionTokens),
    estimated: sum(({ estimatedRequests }) => estimatedRequests),
  };
}

const segments = async () => (await readdir(folder.path)).filter((name) => name.endsWith('.journal')).sort();

describe('R4: the usage journal', () => {
  it('tells what ended, once it is sealed, and keeps nothing of it', async () => {
    const journal = await opened();
    const [first, second, third] = [usageOf(), usageOf(), usageOf({ keyPublicId: 'otheraaa', leaseIds: [] })];
    await Promise.all([first, second, third].map((usage) => journal.begin(usage)));
    journal.end(first.id, exactly(10, 20));
    journal.end(first.id, exactly(10, 20));
    journal.end(second.id, { ...exactly(11, 9), isEstimated: true }, { versionDigest: 'b'.repeat(64) });
    journal.end(third.id, null);
    await journal.seal();
    expect([...told.values()].flat()).toMatchObject([
      { versionDigest: DIGEST, requests: 1, promptTokens: 10, completionTokens: 20, estimatedRequests: 0 },
      { versionDigest: 'b'.repeat(64), requests: 1, promptTokens: 11, completionTokens: 9, estimatedRequests: 1 },
    ]);
    expect(await segments()).toHaveLength(1);
    await journal.seal();
    expect(told.size).toBe(1);
  });

  it('a begin is on disk when it is acknowledged', async () => {
    const journal = await opened();
    const usage = usageOf();
    await journal.begin(usage);
    const [name] = await segments();
    expect(await readFile(join(folder.path, name!), 'utf8')).toContain(usage.id);
  });

  it('settles at its reservation what an agent that died left without an end', async () => {
    const dying = await opened();
    const [ended, left] = [usageOf(), usageOf()];
    await Promise.all([dying.begin(ended), dying.begin(left)]);
    dying.end(ended.id, exactly(1, 2));
    await dying.seal();
    const recovered = await journalOf().open();
    expect(recovered.flatMap((each) => each.ended).map(({ id }) => id)).toEqual([left.id]);
    (await opened()).start();
    await until(() => sums().requests === 2, 'both are told');
    expect(sums()).toEqual({ requests: 2, tokens: 103, estimated: 1 });
  });

  it('a crash between the telling and the removal tells the same again, under the same id', async () => {
    const crashed = await temporaryFolder();
    const copy = crashed.path;
    const journal = await opened({
      tell: async (event: UsageEvent) => {
        told.set(event.id, event.entries);
        await cp(folder.path, copy, { recursive: true });
      },
    });
    const usage = usageOf();
    await journal.begin(usage);
    journal.end(usage.id, exactly(4, 5));
    await journal.seal();
    expect(sums()).toEqual({ requests: 1, tokens: 9, estimated: 0 });
    const after = await opened({ folder: copy });
    after.start();
    await until(async () => (await readdir(copy)).length === 1, 'what was told is gone');
    expect(sums()).toEqual({ requests: 1, tokens: 9, estimated: 0 });
    await crashed.remove();
  });

  it.each<[string, (text: string) => string, number]>([
    ['torn at its end', (text) => text.slice(0, -7), 110],
    ['flipped in an end', (text) => text.replace('"completionTokens":5', '"completionTokens":6'), 110],
    ['flipped in a begin', (text) => text.replace('"reservedTokens":100', '"reservedTokens":999'), 10],
    ['with lines of something else', (text) => `hello\n00000000 {}\n${text}`, 10],
  ])('a segment that is %s loses no more than that', async (_name, damage, wantTokens) => {
    const dying = await opened();
    const usage = usageOf();
    await dying.begin(usage);
    dying.end(usage.id, exactly(5, 5));
    await dying.stop();
    const [name] = await segments();
    const path = join(folder.path, name!);
    const text = await readFile(path, 'utf8');
    await writeFile(path, damage(text));
    const journal = await opened();
    await journal.seal();
    journal.start();
    await until(() => sums().requests === 1, 'it is told');
    // Without its end it is settled at its reservation of 100 tokens.
    expect(sums().tokens).toBe(wantTokens === 110 ? 100 : wantTokens);
  });

  it('sums what ended by key, model, version and leases; many make more than one event, within its bound', async () => {
    const journal = await opened();
    const usages = Array.from({ length: 100 }, (_, index) => usageOf({ keyPublicId: `key${index}`.padEnd(32, 'x') }));
    await Promise.all(usages.map((usage) => journal.begin(usage)));
    for (const { id } of usages) journal.end(id, exactly(1, 1));
    await journal.seal();
    expect([...told.values()].map((entries) => entries.length)).toEqual([40, 40, 20]);
    expect(sums()).toEqual({ requests: 100, tokens: 200, estimated: 0 });
  });

  it('what the snapshot sees is what is sealed, while requests end', async () => {
    const journal = await opened();
    let counted = 0;
    const seen: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const usages = Array.from({ length: 5 }, () => usageOf());
      await Promise.all(usages.map((usage) => journal.begin(usage)));
      let atSwitch = 0;
      const sealing = journal.seal(() => {
        atSwitch = counted;
        return () => Promise.resolve();
      });
      for (const { id } of usages) {
        journal.end(id, exactly(1, 0));
        counted += 1;
      }
      await sealing;
      seen.push(atSwitch - sums().tokens);
    }
    expect(seen).toEqual(Array.from({ length: 20 }, () => 0));
  });
});

/** A file on a disk that can be full: then the writes go to where there never is room. */
class FullableDisk {
  isFull = false;

  create = async (path: string): Promise<SegmentWriter> => {
    if (this.isFull) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    const [file, full] = [await open(path, 'ax'), await open('/dev/full', 'w')];
    const handle = (): FileHandle => (this.isFull ? full : file);
    return new SegmentWriter({
      appendFile: async (text) => {
        // A part of it still fits.
        if (this.isFull) await appendFile(path, String(text).slice(0, 20));
        return handle().appendFile(text as string);
      },
      datasync: () => handle().datasync(),
      close: async () => {
        await Promise.all([file.close(), full.close()]);
      },
    });
  };
}

describe('a full disk', () => {
  it('refuses begins, keeps ends, and loses and doubles nothing once there is room', async () => {
    const disk = new FullableDisk();
    const journal = await opened({ create: disk.create });
    const running = usageOf();
    await journal.begin(running);
    disk.isFull = true;
    await expect(journal.begin(usageOf())).rejects.toMatchObject({ code: 'ENOSPC' });
    journal.end(running.id, exactly(3, 4));
    journal.count({ ...usageOf(), leaseIds: [] }, exactly(1, 1));
    disk.isFull = false;
    const after = usageOf();
    await journal.begin(after);
    journal.end(after.id, exactly(5, 0));
    await journal.seal();
    expect(sums()).toEqual({ requests: 3, tokens: 14, estimated: 0 });
    await journal.stop();
    expect((await journalOf().open()).flatMap(({ ended }) => ended)).toEqual([]);
  });

  it('is no reason to forget what is sealed: it is told when it can be', async () => {
    let isFull = true;
    const journal = await opened({
      tell: async ({ id, entries }) => {
        if (isFull) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        told.set(id, entries);
      },
    });
    const usage = usageOf();
    await journal.begin(usage);
    journal.end(usage.id, exactly(3, 4));
    journal.start();
    const sealing = journal.seal();
    isFull = false;
    await sealing;
    expect(sums()).toEqual({ requests: 1, tokens: 7, estimated: 0 });
  });
});

type Step = 'begin' | 'end' | 'nothing' | 'seal' | 'crash' | 'stop';

it('R4: whatever ends, is sealed, crashes and stops in whatever order: each request is told once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom<Step>('begin', 'begin', 'end', 'nothing', 'seal', 'crash', 'stop'), { maxLength: 40 }),
      async (steps) => {
        const place = await temporaryFolder();
        told = new Map();
        let journal = await opened({ folder: place.path });
        const running: BegunUsage[] = [];
        const want = { requests: 0, tokens: 0, estimated: 0 };
        const restart = async () => {
          want.requests += running.length;
          want.estimated += running.length;
          want.tokens += running.splice(0).reduce((sum, { reservedTokens }) => sum + reservedTokens, 0);
          journal = await opened({ folder: place.path });
        };
        const acts: Readonly<Record<Step, () => Promise<void>>> = {
          begin: async () => {
            running.push(usageOf({ reservedTokens: 50 + running.length }));
            await journal.begin(running.at(-1)!);
          },
          end: async () => {
            const usage = running.shift();
            if (usage === undefined) return;
            journal.end(usage.id, exactly(1, 2));
            want.requests += 1;
            want.tokens += 3;
            await journal.flush();
          },
          nothing: async () => {
            const usage = running.shift();
            if (usage === undefined) return;
            journal.end(usage.id, null);
            await journal.flush();
          },
          seal: () => journal.seal(),
          crash: restart,
          stop: async () => {
            await journal.stop();
            await restart();
          },
        };
        for (const step of steps) await acts[step]();
        await journal.stop();
        await restart();
        await journal.seal();
        journal.start();
        await until(async () => (await readdir(place.path)).length === 1, 'all is told');
        expect(sums()).toEqual(want);
        await place.remove();
      },
    ),
    { numRuns: 30 },
  );
}, 20_000);
