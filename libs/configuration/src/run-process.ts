import type { z } from 'zod';
import type { ConfigurationDefinition } from './definition.ts';
import { renderEffective } from './effective.ts';
import { ConfigurationError } from './errors.ts';
import { type Configuration, type LoadOptions, loadConfiguration } from './load.ts';

const EXIT_UNEXPECTED = 1;
const EXIT_MISCONFIGURED = 2;
const PRINT_FLAG = '--print-configuration';

export interface RunProcessOptions extends LoadOptions {
  /** Default: the process' own streams and end. `exit` is called once the text is written. */
  readonly print?: (stream: 'stdout' | 'stderr', text: string, exit: () => void) => void;
  readonly exit?: (code: number) => void;
}

/**
 * What every `main.ts` does first: loads the configuration, then calls `start` with it.
 * With `--print-configuration` it prints the configuration in force, redacted, and exits 0 without starting anything.
 * A configuration that cannot be used is said on stderr and exits 2; a `start` that rejects exits 1.
 */
export async function runProcess<Schema extends z.ZodType>(
  definition: ConfigurationDefinition<Schema>,
  start: (configuration: Configuration<ConfigurationDefinition<Schema>>) => Promise<void>,
  options: RunProcessOptions = {},
): Promise<void> {
  const { argv = process.argv.slice(2), print = printText, exit = (code) => process.exit(code) } = options;
  let configuration: Configuration<ConfigurationDefinition<Schema>>;
  try {
    configuration = loadConfiguration(definition, options);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    print('stderr', `${error.message}\n`, () => exit(EXIT_MISCONFIGURED));
    return;
  }
  if (argv.includes(PRINT_FLAG)) {
    print('stdout', renderEffective(configuration as object), () => exit(0));
    return;
  }
  try {
    await start(configuration);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    print('stderr', `${text}\n`, () => exit(EXIT_UNEXPECTED));
  }
}

function printText(stream: 'stdout' | 'stderr', text: string, exit: () => void): void {
  process[stream].write(text, () => exit());
}
