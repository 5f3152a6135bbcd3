import { readFile, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { LOST_AFTER_SECONDS_MIN } from '#domain';
import { eventually } from '#testing';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { askSeconds, Contact, type ContactOptions } from './contact.ts';
import { silenceStep } from './runner/silence.ts';

/** A question that nobody answers is given up after 5 s; an answer, and the look at what was noted, take their time too. */
const LOST_QUESTION_SECONDS = 5 + 1;

describe('X01: contact with the control plane', () => {
  let folder: TemporaryFolder;
  const contacts: Contact[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    for (const contact of contacts.splice(0)) await contact.stop();
    await folder.remove();
  });
  const file = () => join(folder.path, 'jobs', 'contact.json');

  async function open(boot = 'boot-1', seeks: Partial<Pick<ContactOptions, 'silenceSecondsMin' | 'ask'>> = {}) {
    const log = pino({ level: 'silent' });
    const contact = new Contact({
      file: file(),
      machineBootId: boot,
      silenceSecondsMin: () => null,
      ask: () => undefined,
      ...seeks,
      log,
    });
    contacts.push(contact);
    await contact.open();
    return contact;
  }

  it('there was none before the first answer', async () => {
    expect((await open()).silentSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it('an answer counts from when it was asked for, and an older one takes nothing back', async () => {
    const contact = await open();
    contact.answered(5_000);
    expect(contact.silentSeconds).toBeGreaterThanOrEqual(5);
    contact.answered(1_000);
    const newer = contact.silentSeconds;
    contact.answered(60_000);
    expect(contact.silentSeconds).toBeLessThan(newer + 5);
    await contact.noted();
    const noted = JSON.parse(await readFile(file(), 'utf8'));
    expect(noted).toEqual({ atSeconds: expect.any(Number), machineBootId: 'boot-1' });
  });

  it('a restart forgives nothing of the silence', async () => {
    const contact = await open();
    contact.answered(0);
    await contact.noted();
    await writeFile(file(), JSON.stringify({ atSeconds: uptime() - 100, machineBootId: 'boot-1' }));
    expect((await open()).silentSeconds).toBeGreaterThanOrEqual(100);
  });

  it.each([
    ['of another boot of the machine', JSON.stringify({ atSeconds: 5, machineBootId: 'boot-0' })],
    ['that is cut', '{"atSeconds":'],
    [
      'of a moment that is yet to come, by the clock of a container before it was restarted,',
      JSON.stringify({ atSeconds: uptime() + 1_000_000, machineBootId: 'boot-1' }),
    ],
  ])('a note %s says nothing: silent for ever', async (_case, text) => {
    await (await open()).stop();
    await writeFile(file(), text);
    expect((await open()).silentSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it('is sought while tasks are here, and only then', async () => {
    const asked: string[] = [];
    const idle = await open('boot-1', { ask: () => asked.push('idle') });
    const silenceSecondsMin = () => LOST_AFTER_SECONDS_MIN;
    const busy = await open('boot-1', { silenceSecondsMin, ask: () => asked.push('busy') });
    for (const contact of [idle, busy]) contact.start();
    await eventually(() => expect(asked.length).toBeGreaterThanOrEqual(2));
    expect(asked).not.toContain('idle');
  });

  it.each([
    ['the least that a job may ask for', LOST_AFTER_SECONDS_MIN, 1],
    ['a fraction of a minute', 30, 3],
    ['five minutes', 300, 5],
    ['what an older control plane let through', 2, 1],
  ])('%s: asked for every %d s of silence', (_case, silence, want) => {
    expect(askSeconds(silence)).toBe(want);
  });

  it('one question that gets lost ends no task, whatever silence it may live through', () => {
    for (let silence = LOST_AFTER_SECONDS_MIN; silence <= 1_000; silence += 1) {
      const rules = { stopAfterSilentSeconds: silence, graceSeconds: 86_400, canSave: true };
      const silentSeconds = askSeconds(silence) + LOST_QUESTION_SECONDS;
      const step = silenceStep(rules, { silentSeconds, isAsked: false, isSaved: false, isTold: false });
      expect(['go-on', 'ask']).toContain(step);
    }
  });
});
