// This agent was told that a newer one stands for its cluster: it stops, and does not start again by itself, or two
// machines whose supervisors start agents anew would fence each other for ever. A person decides which one goes on.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '#files';
import { AgentFencedError, hasCode } from '../errors.ts';

const NAME = 'fenced';

/** @throws AgentFencedError when an earlier start was fenced */
export async function refuseFenced(stateFolder: string): Promise<void> {
  const path = join(stateFolder, NAME);
  const words = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return null;
    throw cause;
  });
  if (words !== null)
    throw new AgentFencedError(`${words.trim()} To let this one go on, stop the other and remove ${path}.`);
}

/** Durable when resolved; the error to end with is given back. */
export async function noteFence(stateFolder: string, rivalBootId: string): Promise<AgentFencedError> {
  const words = `Another agent with the identity in this state folder (boot ${rivalBootId}) started later and serves the cluster; this one was fenced at ${new Date().toISOString()}.`;
  await writeDurably(join(stateFolder, NAME), `${words}\n`);
  return new AgentFencedError(words);
}

/** For whoever decided that this one goes on. */
export async function liftFence(stateFolder: string): Promise<void> {
  await rm(join(stateFolder, NAME), { force: true });
}
