import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { machineBootId } from '#telemetry';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { StateFolderInUseError } from '../errors.ts';
import { lockFolder } from './folder-lock.ts';
import { processStartTicks } from './processes.ts';

describe('the lock of a state folder', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());
  const path = () => join(folder.path, 'agent.lock');

  it('refuses a second agent while the first lives, and says what to do', async () => {
    const lock = await lockFolder(folder.path);
    await expect(lockFolder(folder.path)).rejects.toThrow(StateFolderInUseError);
    await expect(lockFolder(folder.path)).rejects.toThrow(/process id \d+\. Stop it/);
    await lock.release();
    await (await lockFolder(folder.path)).release();
  });

  it('is never there without its holder in it: who comes at that moment would take it for nobody’s', async () => {
    let looks = 0;
    const empty: string[] = [];
    for (let round = 0; round < 50; round += 1) {
      let isDone = false;
      const locking = lockFolder(folder.path).finally(() => {
        isDone = true;
      });
      while (!isDone) {
        await new Promise(setImmediate);
        const text = existsSync(path()) ? readFileSync(path(), 'utf8') : null;
        looks += 1;
        if (text === '') empty.push(`round ${round}`);
      }
      await (await locking).release();
    }
    expect(empty).toEqual([]);
    expect(looks).toBeGreaterThan(50);
  });

  it('goes to one of many that come at the same moment', async () => {
    for (let round = 0; round < 10; round += 1) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder.path)));
      const held = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      expect(held).toHaveLength(1);
      await held[0]!.release();
    }
  });

  it('of a dead process is taken over', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    const { pid } = child;
    await once(child, 'exit');
    await writeFile(path(), JSON.stringify({ pid, startTicks: '1', machineBootId: await machineBootId() }));
    const lock = await lockFolder(folder.path);
    expect(JSON.parse(await readFile(path(), 'utf8')).pid).toBe(process.pid);
    await lock.release();
  });

  it('of which a dead process was taking over is taken over at once', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    const { pid } = child;
    await once(child, 'exit');
    const dead = JSON.stringify({ pid, startTicks: '1', machineBootId: await machineBootId() });
    await writeFile(path(), dead);
    await mkdir(`${path()}.takeover`);
    await writeFile(join(`${path()}.takeover`, 'maker'), dead);
    await (await lockFolder(folder.path)).release();
    await writeFile(path(), dead);
    await mkdir(`${path()}.takeover`);
    await writeFile(join(`${path()}.takeover`, 'maker'), '');
    await expect(lockFolder(folder.path)).rejects.toThrow(/just taking over/);
    await utimes(`${path()}.takeover`, 1, 1);
    await (await lockFolder(folder.path)).release();
  });

  it('R4: of which an agent was killed just as it took over, by any step of it, is taken over at once', async () => {
    await writeFile(path(), '');
    await mkdir(`${path()}.takeover`);
    await (await lockFolder(folder.path)).release();
  });

  it('leaves nothing behind of agents that were killed while they locked', async () => {
    const drafts = ['.agent.lock.0190', '.agent.lock.takeover.0190'].map((name) => join(folder.path, name));
    await writeFile(drafts[0]!, '');
    await mkdir(drafts[1]!);
    await (await lockFolder(folder.path)).release();
    expect((await readdir(folder.path)).sort()).toEqual(['.agent.lock.0190', '.agent.lock.takeover.0190']);
    for (const draft of drafts) await utimes(draft, 1, 1);
    await (await lockFolder(folder.path)).release();
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('of a reused process id is taken over: the start time differs', async () => {
    const holder = { pid: process.ppid, startTicks: '1', machineBootId: await machineBootId() };
    expect(await processStartTicks(process.ppid)).not.toBe('1');
    await writeFile(path(), JSON.stringify(holder));
    await (await lockFolder(folder.path)).release();
  });

  it('of another boot of the machine is taken over', async () => {
    const startTicks = (await processStartTicks(process.ppid)) ?? '';
    await writeFile(path(), JSON.stringify({ pid: process.ppid, startTicks, machineBootId: 'earlier' }));
    await (await lockFolder(folder.path)).release();
  });

  it('that was cut off while it was written is taken over', async () => {
    await writeFile(path(), '{"pid":');
    await (await lockFolder(folder.path)).release();
  });

  it('lets only one of many through at once', async () => {
    await writeFile(path(), '');
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder.path)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});
