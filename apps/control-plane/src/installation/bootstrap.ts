// The secrets of an installation, each in a 0600 file of its own in one 0700 folder:
//   operator.json          NATS operator, system account and ATOLL account
//   pepper                 for hashes of API keys; gateways need it too
//   blob-signing-key.pem   Ed25519, for blob tokens
//   gateway.jwt, gateway.seed   the NATS identity of gateways
// Two installations share none of them (S10).

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '#files';
import {
  createIdentity,
  createNatsOperator,
  issueUserJwt,
  type NatsOperator,
  permissionTables,
  readOperatorFiles,
  readUserJwt,
  writeOperatorFiles,
} from '#messaging';

export const GATEWAY_ID = 'gateway';

/**
 * @param gatewayId the single subject token that stands in the gateway's inbox prefix; default `gateway`
 * @returns names of the files that were made now
 * @throws OperatorFilesError when operator.json is damaged; it is never replaced
 */
export async function bootstrapInstallation(directory: string, gatewayId: string = GATEWAY_ID): Promise<string[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  const operator = await ensureOperator(directory, made);
  await ensureFile(directory, 'pepper', made, () => randomBytes(32).toString('base64url'));
  await ensureFile(directory, 'blob-signing-key.pem', made, () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim(),
  );
  await ensureGateway(directory, operator, gatewayId, made);
  return made;
}

async function ensureOperator(directory: string, made: string[]): Promise<NatsOperator> {
  const present = await readOperatorFiles(directory);
  if (present !== undefined) return present;
  const operator = await createNatsOperator();
  await writeOperatorFiles(directory, operator);
  made.push('operator.json');
  return operator;
}

/** The pair is one identity: a JWT for another account, or without its seed, is made anew together with the seed. */
async function ensureGateway(
  directory: string,
  operator: NatsOperator,
  gatewayId: string,
  made: string[],
): Promise<void> {
  if (await hasGateway(directory, operator)) return;
  const { publicKey, seed } = createIdentity();
  const jwt = await issueUserJwt({
    accountSeed: operator.atollAccount.seed,
    userPublicKey: publicKey,
    name: gatewayId,
    role: 'gateway',
    permissions: permissionTables.gateway(gatewayId),
  });
  await writeSecret(directory, 'gateway.seed', seed);
  await writeSecret(directory, 'gateway.jwt', jwt);
  made.push('gateway.seed', 'gateway.jwt');
}

async function hasGateway(directory: string, operator: NatsOperator): Promise<boolean> {
  try {
    await readFile(join(directory, 'gateway.seed'));
    const { accountPublicKey } = readUserJwt((await readFile(join(directory, 'gateway.jwt'), 'utf8')).trim());
    return accountPublicKey === operator.atollAccount.publicKey;
  } catch {
    return false;
  }
}

async function ensureFile(directory: string, name: string, made: string[], make: () => string): Promise<void> {
  const present = await readFile(join(directory, name), 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    throw cause;
  });
  if (present.trim() !== '') return;
  await writeSecret(directory, name, make());
  made.push(name);
}

/** Whole or not at all. */
function writeSecret(directory: string, name: string, text: string): Promise<void> {
  return writeDurably(join(directory, name), `${text}\n`);
}
