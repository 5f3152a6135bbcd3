import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { FailedError, UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';

const PROCESSES = ['gateway', 'agent', 'control-plane', 'engine'] as const;
type ProcessName = (typeof PROCESSES)[number];

const TIMEOUT_MS = 20_000;
/** What a process exits with when its configuration cannot be used (`runProcess` of `#configuration`). */
const EXIT_MISCONFIGURED = 2;

interface ConfigOptions {
  readonly effective?: true;
  readonly process: ProcessName;
  readonly config?: string;
}

/** Asks the process itself, because it alone knows its keys. Environment variables count as they would for it. */
export function addConfigCommand(program: Command, terminal: Terminal): void {
  program
    .command('config')
    .description('the configuration that a process would run with, redacted, and where each value comes from')
    .option('--effective', 'file, environment and defaults together')
    .addOption(new Option('--process <name>', 'which process').choices(PROCESSES).makeOptionMandatory())
    .option('--config <file>', 'its YAML file')
    .action(async ({ effective, process: name, config }: ConfigOptions) => {
      if (!effective) throw new UsageError('say --effective: the configuration in force is all that can be shown');
      if (name === 'engine') {
        throw new UsageError('an engine has no configuration of its own; its agent starts it: see --process agent');
      }
      const exitCode = await runToPrint(name, config, terminal);
      if (exitCode === EXIT_MISCONFIGURED) throw new FailedError(`this configuration of the ${name} cannot be used`);
      if (exitCode !== 0) throw new FailedError(`the ${name} did not print its configuration`);
    });
}

function runToPrint(name: ProcessName, config: string | undefined, terminal: Terminal): Promise<number | null> {
  const end = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = fileURLToPath(new URL(`../../../${name}/src/main.${end}`, import.meta.url));
  if (!existsSync(script)) throw new FailedError(`the ${name} is not built (${script})`);
  const file = config === undefined ? [] : ['--config', resolve(terminal.cwd, config)];
  return new Promise((settle, reject) => {
    const child = spawn(process.execPath, [script, ...file, '--print-configuration'], {
      env: terminal.env as NodeJS.ProcessEnv,
      cwd: terminal.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: terminal.signal,
      timeout: TIMEOUT_MS,
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => terminal.out(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => terminal.err(text));
    child.on('error', reject);
    child.on('close', settle);
  });
}
