import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { isAlive, startTicksOf } from '#embedded';
import { Instance } from './instance.ts';

describe('a quickstart’s folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-instance-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function sleeper(taskFolder: string) {
    const command = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1_000)'], {
      stdio: 'ignore',
      env: { ATOLL_TASK_DIR: taskFolder },
    });
    await once(command, 'spawn');
    const identity = { pid: command.pid!, startTicks: startTicksOf(command.pid!) };
    return { identity, end: () => command.kill('SIGKILL') };
  }

  it('ends the tasks of its agents, whose agents may be gone, and of nobody else', async () => {
    const instance = await Instance.at(folder);
    const own = await sleeper(join(folder, 'agents/dc-1/jobs/a/0'));
    const other = await sleeper(`${folder}-2/agents/dc-1/jobs/a/0`);
    try {
      expect(await instance.endTasks()).toBe(1);
      expect([isAlive(own.identity), isAlive(other.identity)]).toEqual([false, true]);
    } finally {
      for (const each of [own, other]) each.end();
    }
  });
});
