// The operator's seeds and JWTs on disk: one file, 0600, written whole or not at all.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from '#files';
import { CredentialError, OperatorFilesError } from './errors.ts';
import { decodeJwt, keyFromSeed } from './nats-jwt.ts';
import type { NatsOperator } from './operator.ts';

const FILE_NAME = 'operator.json';
const FILE_BYTES_MAX = 64 * 1024;

const keySchema = z.object({ publicKey: z.string(), seed: z.string(), jwt: z.string() });
const fileSchema = z.object({
  format: z.literal('atoll-nats-operator/1'),
  operator: keySchema,
  systemAccount: keySchema,
  atollAccount: keySchema,
});

/** Writes `<directory>/operator.json`; a reader sees the old file or the new one, never a part. Makes the directory 0700. */
export async function writeOperatorFiles(directory: string, operator: NatsOperator): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ format: 'atoll-nats-operator/1', ...operator }, null, 2);
  await writeDurably(join(directory, FILE_NAME), `${text}\n`);
}

/**
 * @returns undefined when there is no file yet (make one with `createNatsOperator`)
 * @throws OperatorFilesError when the file is damaged; it is never replaced silently, for every identity hangs on it
 */
export async function readOperatorFiles(directory: string): Promise<NatsOperator | undefined> {
  const path = join(directory, FILE_NAME);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new OperatorFilesError(`Cannot read ${path}: check its owner and mode.`, { cause });
  }
  if (text.length > FILE_BYTES_MAX) throw new OperatorFilesError(`${path} is too long to be an operator file.`);
  const { format: _, ...operator } = parseOperator(path, text);
  checkFit(path, operator);
  return operator;
}

function parseOperator(path: string, text: string) {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    // No cause: a parser's message may quote a seed.
    throw new OperatorFilesError(`${path} is damaged: restore it from a backup; a new one would orphan every cluster.`);
  }
}

function checkFit(path: string, operator: NatsOperator): void {
  try {
    for (const key of [operator.operator, operator.systemAccount, operator.atollAccount]) {
      const claims = decodeJwt(key.jwt);
      const isSame = keyFromSeed(key.seed).publicKey === key.publicKey && claims.subject === key.publicKey;
      if (!isSame || claims.issuer !== operator.operator.publicKey) throw new CredentialError('keys do not fit');
    }
  } catch (cause) {
    throw new OperatorFilesError(`The keys in ${path} do not fit together: restore it from a backup.`, { cause });
  }
}
