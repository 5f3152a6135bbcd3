import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EMPTY_ROUTES } from '#domain';
import { RoutesFile } from './routes-file.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atoll-routes-'));
  path = join(directory, 'state', 'routes.json');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('R12: routes on disk', () => {
  it('gives back what was written last, for its owner only', async () => {
    const file = new RoutesFile(path);
    expect(await file.read()).toBeNull();
    await Promise.all([1, 2, 3].map((sequence) => file.write({ ...EMPTY_ROUTES, sequence })));
    expect(await new RoutesFile(path).read()).toEqual({ ...EMPTY_ROUTES, sequence: 3 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it.each<[string, (text: string) => string]>([
    ['truncated', (text) => text.slice(0, -5)],
    ['flipped', (text) => text.replace('7', '8')],
    ['empty', () => ''],
    ['without a checksum', (text) => text.slice(text.indexOf('\n') + 1)],
    ['binary', () => '\u0000\u0001\u0002'],
  ])('%s counts as none', async (_name, damage) => {
    await new RoutesFile(path).write({ ...EMPTY_ROUTES, sequence: 7 });
    await writeFile(path, damage(await readFile(path, 'utf8')));
    expect(await new RoutesFile(path).read()).toBeNull();
  });
});
