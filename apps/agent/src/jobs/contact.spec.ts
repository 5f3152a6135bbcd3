import { readFile, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { Contact } from './contact.ts';

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

  async function open(boot = 'boot-1'): Promise<Contact> {
    const log = pino({ level: 'silent' });
    const contact = new Contact({
      file: file(),
      machineBootId: boot,
      isNeeded: () => false,
      ask: () => undefined,
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
});
