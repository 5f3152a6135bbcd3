// The first key of an installation: made at the first start, written to a file that only its owner can read, shown nowhere.

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { DEFAULT_TENANT_ID, RefusedError, type Store } from '#domain';
import { writeDurably } from '#files';
import { StartError } from '../errors.ts';
import type { Secrets } from '../secrets/secrets.ts';

/**
 * Makes an owner key when none is in force. The file is written before the row is committed: a key nobody can read is
 * never left behind. Of several control planes that start at once, one makes it.
 *
 * @returns whether a key was written
 * @throws StartError when the file cannot be written
 */
export async function ensureOwnerKey(store: Store, secrets: Secrets, keyFile: string): Promise<boolean> {
  if (await store.read.apiKeys.ownerExists()) return false;
  const { publicId, secretHash, offlineHash, token } = secrets.mint('atoll');
  const id = uuidv7();
  const tenantId = DEFAULT_TENANT_ID;
  try {
    return await store.transaction(async (rows) => {
      if (await rows.apiKeys.ownerExists()) return false;
      const limits = { offlineHash, models: null, expiresAt: null, revokedAt: null, createdAt: new Date() };
      await rows.apiKeys.insert({ id, tenantId, name: 'owner', publicId, secretHash, role: 'owner', ...limits });
      const entry = { targetKind: 'api-key', targetId: id, detail: { publicId, role: 'owner' } };
      await rows.audit.add({ tenantId, actor: 'controller:first-start', action: 'api-keys.create', ...entry });
      await writeKey(keyFile, token);
      return true;
    });
  } catch (cause) {
    if (cause instanceof RefusedError) return false; // another control plane was quicker
    throw cause;
  }
}

async function writeKey(path: string, token: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeDurably(path, `${token}\n`);
  } catch (cause) {
    throw new StartError(`The owner key cannot be written to owner.keyFile ${path}.`, { cause });
  }
}
