import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { isAlive, startPostgres } from './index.ts';

describe('embedded Postgres', () => {
  let directory: string;
  beforeAll(async () => {
    // mkdtemp makes it 0700: as root, Postgres' user cannot even see what is inside without help.
    directory = await mkdtemp(join(tmpdir(), 'atoll-postgres-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('starts in a folder closed to others, keeps its rows over a restart, and leaves no process', async () => {
    const first = await startPostgres({ directory, durable: false });
    const url = await first.ensureDatabase('atoll');
    await query(url, 'create table kept as select 42 as answer');
    await first.stop();
    expect(isAlive(first.process.identity)).toBe(false);

    const second = await startPostgres({ directory, durable: false });
    try {
      const again = await second.ensureDatabase('atoll');
      expect(await query(again, 'select answer from kept')).toEqual([{ answer: 42 }]);
    } finally {
      await second.stop();
    }
  }, 120_000);
});

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}
