import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { UsageError } from './errors.ts';
import type { Terminal } from './terminal.ts';

/**
 * Makes the file (0600) before the secret exists, so that a secret which is shown once is never lost to a bad path.
 * Throws UsageError when the file is there already or cannot be made. Without a path, `make` alone is called.
 */
export async function intoSecretFile<Made>(
  { cwd }: Pick<Terminal, 'cwd'>,
  path: string | undefined,
  make: () => Promise<Made>,
  secretOf: (made: Made) => string,
): Promise<Made> {
  if (path === undefined) return make();
  const file = resolve(cwd, path);
  const descriptor = openNew(file, path);
  try {
    const made = await make();
    writeSync(descriptor, `${secretOf(made)}\n`);
    fsyncSync(descriptor);
    return made;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function openNew(file: string, path: string): number {
  try {
    return openSync(file, 'wx', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'it is there already' : code === 'ENOENT' ? 'its folder does not exist' : code;
    throw new UsageError(`${path} cannot be made: ${why}; nothing was done`);
  }
}
