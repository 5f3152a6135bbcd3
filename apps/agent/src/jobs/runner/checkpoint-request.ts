// Asking a command for a checkpoint: by the agent, and by the runner when the agent or the control plane is silent. Both
// number their requests in one row, so that a command answers each once.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type CheckpointRequest, runnerFiles } from './runner-contract.ts';

/** Returns its sequence. Throws when the disk does not take it. */
export function requestCheckpoint(
  folder: string,
  { reason, deadlineSeconds }: Omit<CheckpointRequest, 'sequence'>,
): number {
  const { request, lastRequest } = runnerFiles(folder);
  const sequence = lastRequested(folder) + 1;
  writeWhole(lastRequest, { sequence });
  writeWhole(request, { sequence, reason, deadlineSeconds });
  return sequence;
}

/** 0: none yet. */
export function lastRequested(folder: string): number {
  try {
    return (JSON.parse(readFileSync(runnerFiles(folder).lastRequest, 'utf8')) as { sequence: number }).sequence;
  } catch {
    return 0;
  }
}

/** It was answered. */
export function withdrawRequest(folder: string): void {
  rmSync(runnerFiles(folder).request, { force: true });
}

function writeWhole(path: string, value: unknown): void {
  writeFileSync(`${path}.tmp`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}
