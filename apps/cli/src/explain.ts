import type { Command } from 'commander';

const NAME = 'explain';

/** `atoll explain`, under which every noun that can be explained puts its own command. */
export function explainCommand(program: Command): Command {
  return (
    program.commands.find((command) => command.name() === NAME) ??
    program.command(NAME).description('why something is as it is, and what to change')
  );
}
