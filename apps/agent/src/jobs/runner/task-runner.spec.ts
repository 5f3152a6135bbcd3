// The runner as a process of its own, with no agent beside it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { machineBootId } from '#telemetry';
import { type TemporaryFolder, temporaryFolder, until } from '../../../test/temporary-folder.ts';
import { isProcessAlive } from '../../state/processes.ts';
import { runnerCommand } from '../task-process.ts';
import { type ExitRecord, type ProcessRecord, type RunOrder, runnerFiles, TASK_VARIABLE } from './runner-contract.ts';

const FOREVER = [process.execPath, '-e', 'setInterval(() => undefined, 1_000)'];

describe('the runner of a task', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  /** `contact`: what is noted, in seconds from now. */
  async function start(order: Partial<RunOrder>, contact?: number) {
    const files = runnerFiles(folder.path);
    const contactFile = `${folder.path}/contact.json`;
    await mkdir(files.control, { recursive: true });
    if (contact !== undefined) {
      const record = { atSeconds: uptime() + contact, machineBootId: await machineBootId() };
      await writeFile(contactFile, JSON.stringify(record));
    }
    const whole: RunOrder = {
      command: FOREVER,
      environment: {},
      workFolder: folder.path,
      checkpoint: { mode: 'none', signal: 'SIGUSR1' },
      graceSeconds: 1,
      stopAfterSilentSeconds: 60,
      contactAtSeconds: uptime(),
      contactFile,
      cgroupFolder: null,
      ...order,
    };
    await writeFile(files.order, JSON.stringify(whole));
    const [program = '', ...parameters] = runnerCommand();
    const environment = { [TASK_VARIABLE]: folder.path };
    const runner = spawn(program, [...parameters, folder.path], { stdio: 'ignore', env: environment });
    return { files, exited: once(runner, 'exit') };
  }

  async function run(order: Partial<RunOrder>, contact?: number): Promise<ExitRecord> {
    const { files, exited } = await start(order, contact);
    await exited;
    return JSON.parse(await readFile(files.exit, 'utf8')) as ExitRecord;
  }

  it('leaves the exit code of its command', async () => {
    const exit = await run({ command: [process.execPath, '-e', 'process.exit(7)'] });
    expect(exit).toMatchObject({ exitCode: 7, signal: null, cause: 'exit' });
  }, 30_000);

  it('ends with its command when its folder is taken away', async () => {
    const { files, exited } = await start({});
    const noted = await until(() => readFile(files.process, 'utf8').catch(() => undefined), 'it runs');
    const { commandProcessId } = JSON.parse(noted) as ProcessRecord;
    await rm(folder.path, { recursive: true });
    await exited;
    expect(isProcessAlive(commandProcessId)).toBe(false);
  }, 30_000);

  it.each<[string, number | undefined]>([
    ['and nothing else is known', undefined],
    ['and what is noted is older', -200],
    ['and what is noted is yet to come: of another clock', 1_000_000],
  ])(
    'X01: a start forgives no silence: the last contact was long before, %s',
    async (_case, contact) => {
      const exit = await run({ contactAtSeconds: uptime() - 100 }, contact);
      expect(exit).toMatchObject({ cause: 'silence', signal: 'SIGKILL' });
    },
    30_000,
  );
});
