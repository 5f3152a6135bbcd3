import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import { decodeDocument, encodeDocument, StateDocument } from './state-document.ts';

const schema = z.strictObject({ revision: z.int(), names: z.array(z.string()) });
const first = { revision: 1, names: ['ä', 'b'] };
const second = { revision: 2, names: ['c'] };

describe('R4: a state document', () => {
  let folder: string;
  let damaged: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-files-'));
    damaged = [];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = () =>
    new StateDocument({
      folder,
      name: 'desired',
      schema,
      generations: 2,
      onDamaged: (_file, why) => damaged.push(why),
    });
  const current = () => join(folder, 'desired.json');
  const previous = () => join(folder, 'desired.previous.json');

  async function writeTwo(): Promise<void> {
    const document = open();
    await document.read();
    await document.write(first);
    await document.write(second);
  }

  it('is empty before the first write, and nothing counts as damaged', async () => {
    expect([await open().read(), damaged]).toEqual([null, []]);
  });

  it('leaves nothing behind of writers that were killed', async () => {
    await writeTwo();
    const left = ['.desired.json.0190', 'desired.previous.json.0190', '.desired.json.new', 'other.json.0190'];
    for (const name of left) await writeFile(join(folder, name), 'half');
    for (const name of left.filter((each) => each.endsWith('0190'))) await utimes(join(folder, name), 1, 1);
    expect(await open().read()).toEqual(second);
    expect((await readdir(folder)).sort()).toEqual([
      '.desired.json.new',
      'desired.json',
      'desired.previous.json',
      'other.json.0190',
    ]);
  });

  it('is read back after a restart', async () => {
    await writeTwo();
    expect([await open().read(), damaged]).toEqual([second, []]);
  });

  it('cut at any length falls back to the older generation', async () => {
    await writeTwo();
    const whole = await readFile(current());
    for (let length = 0; length < whole.length; length += 1) {
      await writeFile(current(), whole.subarray(0, length));
      expect([length, await open().read()]).toEqual([length, first]);
    }
    expect(damaged).toHaveLength(whole.length);
  });

  it('flipped in any bit of any byte falls back to the older generation', async () => {
    await writeTwo();
    const whole = await readFile(current());
    let flips = 0;
    for (let offset = 0; offset < whole.length; offset += 1) {
      const bit = offset % 8;
      for (const mask of [1 << bit, 0x20]) {
        const flipped = Buffer.from(whole);
        flipped[offset] = flipped[offset]! ^ mask;
        await writeFile(current(), flipped);
        expect([offset, mask, await open().read()]).toEqual([offset, mask, first]);
        flips += 1;
      }
    }
    expect(damaged).toHaveLength(flips);
  });

  it('with both generations damaged is empty, and both are told of', async () => {
    await writeTwo();
    await writeFile(current(), 'x');
    await writeFile(previous(), '');
    expect([await open().read(), damaged.length]).toEqual([null, 2]);
  });

  it('never lets a damaged file replace the older generation', async () => {
    await writeTwo();
    await writeFile(current(), 'damaged');
    const document = open();
    await document.read();
    await document.write({ revision: 3, names: [] });
    await writeFile(current(), 'damaged again');
    expect(await open().read()).toEqual(first);
  });

  it('of another schema counts as damaged', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(current(), encodeDocument({ revision: 'two', names: [] }));
    expect([await open().read(), damaged]).toEqual([null, ['it is not of the schema']]);
  });

  it('keeps the order of writes that were not awaited, and leaves no drafts', async () => {
    const document = open();
    await document.read();
    await Promise.all([1, 2, 3, 4].map((revision) => document.write({ revision, names: [] })));
    expect((await open().read())?.revision).toBe(4);
    expect((await readdir(folder)).sort()).toEqual(['desired.json', 'desired.previous.json']);
  });

  it('refuses any prefix of its text', () => {
    const text = encodeDocument(first);
    const accepted = Array.from({ length: text.length }, (_, length) => text.slice(0, length)).filter(decodeDocument);
    expect(accepted).toEqual([]);
  });
});
