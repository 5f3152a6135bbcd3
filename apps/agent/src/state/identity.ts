// The agent's NKey: made once, kept in a 0600 file, never sent anywhere. Only `publicKey` and signatures leave.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '#files';
import { createIdentity, identityFromSeed } from '#messaging';
import { hasCode } from '../errors.ts';

export interface AgentIdentity {
  readonly publicKey: string;
  /** Secret. */
  readonly seed: string;
  /** False when it was made just now: the centre cannot know it yet. */
  readonly isOld: boolean;
}

/** @throws CredentialError when the file is there and damaged: a new key would be a stranger to the centre */
export async function loadIdentity(stateFolder: string): Promise<AgentIdentity> {
  const path = join(stateFolder, 'identity.nk');
  try {
    const key = identityFromSeed((await readFile(path, 'utf8')).trim());
    return { publicKey: key.publicKey, seed: key.seed, isOld: true };
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT')) throw cause;
  }
  const key = createIdentity();
  await writeDurably(path, `${key.seed}\n`);
  return { publicKey: key.publicKey, seed: key.seed, isOld: false };
}
