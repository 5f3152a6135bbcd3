import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defineConfiguration, runProcess } from './index.ts';

const definition = defineConfiguration({ process: 'gateway', schema: z.strictObject({ name: z.string() }) });

describe('runProcess', () => {
  async function run(argv: string[], yaml: string, start: () => Promise<void> = async () => {}) {
    const told: { started: boolean; exit?: number; stdout?: string; stderr?: string } = { started: false };
    await runProcess(
      definition,
      () => {
        told.started = true;
        return start();
      },
      {
        argv: ['--config', 'gateway.yaml', ...argv],
        env: {},
        readFile: () => ({ text: yaml, mode: 0o100644 }),
        exit: (code) => {
          told.exit = code;
        },
        print: (stream, text, exit) => {
          told[stream] = text;
          exit();
        },
      },
    );
    return told;
  }

  it('starts with a good configuration and exits by no means', async () => {
    expect(await run([], 'name: atoll\n')).toEqual({ started: true });
  });

  it('prints and exits 0 without starting', async () => {
    const told = await run(['--print-configuration'], 'name: atoll\n');
    expect(told).toMatchObject({ started: false, exit: 0, stdout: expect.stringContaining('name: atoll # file') });
  });

  it.each([[[]], [['--print-configuration']]])('exits 2 with the problems, with %j', async (argv) => {
    const told = await run(argv, 'nme: atoll\n');
    expect(told).toMatchObject({ started: false, exit: 2, stderr: expect.stringContaining('nme') });
  });

  it('exits 1 when the start fails', async () => {
    const told = await run([], 'name: atoll\n', () => Promise.reject(new Error('no socket')));
    expect(told).toMatchObject({ started: true, exit: 1, stderr: expect.stringContaining('no socket') });
  });
});
