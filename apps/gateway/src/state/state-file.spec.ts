import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { routesViewSchema } from '#contracts';
import { EMPTY_ROUTES } from '#domain';
import { stateFile } from './state-file.ts';

let directory: string;
let folder: string;
let path: string;
let warnings: unknown[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atoll-routes-'));
  folder = join(directory, 'state');
  path = join(folder, 'routes.json');
  warnings = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const routes = (sequence: number) => routesViewSchema.parse({ ...EMPTY_ROUTES, sequence });
const routesFile = () =>
  stateFile(folder, 'routes', routesViewSchema, { warn: (fields: unknown) => warnings.push(fields) });

describe('R12: routes on disk', () => {
  it('are what was written last, for their owner only', async () => {
    const file = routesFile();
    expect(await file.read()).toBeNull();
    await Promise.all([1, 2, 3].map((sequence) => file.write(routes(sequence))));
    expect(await routesFile().read()).toEqual(routes(3));
    expect([(await stat(path)).mode & 0o777, await readdir(folder), warnings]).toEqual([0o600, ['routes.json'], []]);
  });

  it.each<[string, (text: string) => string]>([
    ['truncated', (text) => text.slice(0, -5)],
    ['flipped', (text) => text.replace('"sequence":7', '"sequence":8')],
    ['empty', () => ''],
    ['without a checksum', (text) => text.slice(text.indexOf('\n') + 1)],
    ['binary', () => '\u0000\u0001\u0002'],
  ])('that are %s count as none, and so do those from before', async (_name, damage) => {
    const file = routesFile();
    await file.write(routes(6));
    await file.write(routes(7));
    await writeFile(path, damage(await readFile(path, 'utf8')));
    expect(await routesFile().read()).toBeNull();
    expect(warnings).toEqual([{ file: path, why: 'its checksum is wrong' }]);
  });

  it('are read in the form of an older gateway', async () => {
    const body = JSON.stringify(routes(5));
    await mkdir(folder);
    await writeFile(path, `${createHash('sha256').update(body).digest('hex')}\n${body}`);
    expect([await routesFile().read(), warnings]).toEqual([routes(5), []]);
  });
});
