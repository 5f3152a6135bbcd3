import 'reflect-metadata';
import { z } from 'zod';
import { ConfigurationError, defineConfiguration, loadConfiguration, secret } from '#configuration';
import { migrate, StoreTimeoutError, StoreUnreachableError } from '#store';
import { controlPlaneConfiguration } from './configuration.ts';

/** Needs the database only, so `ATOLL_DATABASE_URL` (or `…_FILE`) is enough; with `--config` the control plane's file is read. */
const migrateConfiguration = defineConfiguration({
  process: 'migrate',
  schema: z.strictObject({ database: z.strictObject({ url: secret() }) }),
});

async function main(): Promise<void> {
  const hasFile = process.argv.some((argument) => argument === '--config' || argument.startsWith('--config='));
  const { database } = hasFile ? loadConfiguration(controlPlaneConfiguration) : loadConfiguration(migrateConfiguration);
  const { ran, already } = await migrate(database.url.reveal());
  process.stdout.write(
    `${ran.length} migration(s) ran${ran.map((name) => ` ${name}`).join('')}; ${already} had run before\n`,
  );
}

main().catch((error: unknown) => {
  const isAdvice = [ConfigurationError, StoreUnreachableError, StoreTimeoutError].some((kind) => error instanceof kind);
  process.stderr.write(`${error instanceof Error ? (isAdvice ? error.message : error.stack) : String(error)}\n`);
  process.exit(1);
});
