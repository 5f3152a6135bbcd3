// Makes, once, every secret of an installation in one folder. Run again it makes what is missing and changes nothing.

import { parseArgs } from 'node:util';
import { bootstrapInstallation } from './installation/bootstrap.ts';

const USAGE = 'usage: bootstrap.js --directory DIR [--gateway-id ID]';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { directory: { type: 'string' }, 'gateway-id': { type: 'string' } } });
  if (values.directory === undefined) throw new TypeError(USAGE);
  const made = await bootstrapInstallation(values.directory, values['gateway-id']);
  process.stdout.write(made.length === 0 ? 'everything is there already\n' : `made ${made.join(', ')}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
