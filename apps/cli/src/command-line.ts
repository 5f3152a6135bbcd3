// The command line as a whole: which commands there are, and what each way to fail means for the exit code.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ProblemError } from '#contracts';
import { addBudgetCommands, addTokenUsageCommand } from './budgets/commands.ts';
import { addChatCommand } from './chat/command.ts';
import { addClusterCommands } from './clusters/commands.ts';
import { addConfigCommand } from './config/command.ts';
import { addDeploymentCommands } from './deployments/commands.ts';
import { FailedError, InterruptedError, UsageError } from './errors.ts';
import { addJobCommands } from './jobs/commands.ts';
import { addKeyCommands } from './keys/commands.ts';
import { addModelCommands } from './models/commands.ts';
import { plain } from './output/plain.ts';
import { addQueueCommands } from './queues/commands.ts';
import { addPriorityClassCommands, addTenantCommands, addUsageCommand } from './queues/tenancy-commands.ts';
import { addSimulateCommand } from './simulate/command.ts';
import type { Terminal } from './terminal.ts';

export const EXIT_OK = 0;
/** The API refused, or it could not be done. */
export const EXIT_FAILED = 1;
/** The command itself was wrong; nothing was tried. */
export const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130;

/** Runs one command and returns its exit code; never throws. `argv` is without `node` and the script. */
export async function runCommandLine(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await buildProgram(terminal).parseAsync(argv, { from: 'user' });
    return EXIT_OK;
  } catch (error) {
    return exitCodeOf(error, terminal);
  }
}

function buildProgram(terminal: Terminal): Command {
  const program = new Command('atoll')
    .description('The operator’s command line of Atoll, one control plane for many LLM clusters.')
    .enablePositionalOptions()
    .version(`atoll ${versionOf(terminal)}`, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'say what a command does and takes')
    .addHelpText('after', help);
  addClusterCommands(program, terminal);
  addModelCommands(program, terminal);
  addDeploymentCommands(program, terminal);
  addJobCommands(program, terminal);
  addQueueCommands(program, terminal);
  addPriorityClassCommands(program, terminal);
  addTenantCommands(program, terminal);
  addBudgetCommands(program, terminal);
  addTokenUsageCommand(addUsageCommand(program, terminal), terminal);
  addKeyCommands(program, terminal);
  addChatCommand(program, terminal);
  addSimulateCommand(program, terminal);
  addConfigCommand(program, terminal);
  program
    .command('version')
    .description('print the version')
    .action(() => terminal.out(`atoll ${versionOf(terminal)}\n`));
  prepare(program, terminal);
  return program;
}

const help = `
Where to: --url and --token-file, or ATOLL_URL and ATOLL_TOKEN, or the quickstart that runs in this checkout.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted.

  ./atoll quickstart                  starts a whole fleet on this machine; ./atoll down stops it
  ./atoll cluster list                who is in the fleet
  ./atoll model sync <model>          how every cluster gets its newest version
  ./atoll model agreement <model>     whether all clusters hold and serve the same
  ./atoll deployment rollout <name>   how its rollout goes
  ./atoll explain deployment <name>   why it runs where it runs, or why it does not
  ./atoll job submit <name> -- <cmd>  runs a command once there is room for it
  ./atoll job logs <name> --follow    what it writes
  ./atoll explain job <name>          why it runs there or waits, and what would help`;

/** What commander does not hand down to subcommands by itself when they were made before. */
function prepare(command: Command, terminal: Terminal): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => terminal.out(text),
    writeErr: (text) => terminal.err(text),
    getOutHelpWidth: () => terminal.columns,
    getErrHelpWidth: () => terminal.columns,
    getOutHasColors: () => terminal.hasColours,
    getErrHasColors: () => terminal.hasColours,
  });
  for (const child of command.commands) prepare(child, terminal);
}

function exitCodeOf(error: unknown, terminal: Terminal): number {
  if (terminal.signal.aborted || error instanceof InterruptedError) {
    terminal.err(`Interrupted.${error instanceof InterruptedError ? ` ${plain(error.message)}` : ''}\n`);
    return EXIT_INTERRUPTED;
  }
  // Commander has already said what was wrong; asking for help or the version is no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  if (error instanceof UsageError) {
    terminal.err(`error: ${plain(error.message)}\n`);
    return EXIT_USAGE;
  }
  const message = error instanceof Error ? error.message : String(error);
  const isOurs = error instanceof ProblemError || error instanceof FailedError;
  terminal.err(`error: ${isOurs ? '' : 'unexpected: '}${plain(message)}\n`);
  return EXIT_FAILED;
}

function versionOf({ programRoot }: Terminal): string {
  try {
    return String(JSON.parse(readFileSync(join(programRoot, 'package.json'), 'utf8')).version);
  } catch {
    return 'of an unknown version';
  }
}
