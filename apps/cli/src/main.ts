import { runCommandLine } from './command-line.ts';
import { ownTerminal } from './terminal.ts';

process.exitCode = await runCommandLine(process.argv.slice(2), ownTerminal());
// A server that keeps a connection open must not keep a finished command waiting.
process.stdout.write('', () => process.exit());
