// From a plan to what is to be done: which files must be made, in which order, and what that takes. Pure.
//
// A plan's steps say what each version of the way has and the one before has not. Not all of it is needed: what is here
// already, and files of intermediate versions that no later step builds on. Looked at from the end.
import type { SyncStepMessage } from '#contracts';
import type { VersionFile } from '#domain';
import { SyncError } from '../errors.ts';

type StepFile = SyncStepMessage['files'][number];

export interface FileWork {
  readonly file: StepFile;
  readonly step: SyncStepMessage;
  /** False: only a base of something later. */
  readonly isFinal: boolean;
}

/**
 * What to make, in order; empty when everything is here. Files of the version that no step makes are not in it: the
 * caller brings them otherwise.
 *
 * @throws SyncError when the plan contradicts itself or the version
 */
export function workOf(
  steps: readonly SyncStepMessage[],
  version: { readonly files: readonly VersionFile[] },
  isHere: (digest: string) => boolean,
): FileWork[] {
  const final = new Map(version.files.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
  const needed = new Set([...final.keys()].filter((digest) => !isHere(digest)));
  const work: FileWork[] = [];
  for (const step of [...steps].reverse()) {
    const ofStep: FileWork[] = [];
    for (const file of step.files) {
      if (!needed.delete(file.digest)) continue;
      checkFile(file, final.get(file.digest));
      ofStep.push({ file, step, isFinal: final.has(file.digest) });
    }
    for (const { file } of ofStep) {
      if (file.baseDigest !== null && !isHere(file.baseDigest)) needed.add(file.baseDigest);
    }
    work.unshift(...ofStep);
  }
  const unmade = work.find(({ file: { baseDigest } }) => baseDigest !== null && needed.has(baseDigest));
  if (unmade === undefined) return work;
  throw new SyncError(
    `The sync plan builds file ${unmade.file.digest.slice(0, 12)} on ${unmade.file.baseDigest!.slice(0, 12)}, which is not here and which it does not bring.`,
  );
}

function checkFile(file: StepFile, wantedBytes: number | undefined): void {
  const { digest, sizeBytes, encoding, baseDigest, blobDigest, blobBytes } = file;
  const isWhole = encoding === 'whole';
  const problem =
    wantedBytes !== undefined && wantedBytes !== sizeBytes
      ? `gives it ${sizeBytes} bytes, the version ${wantedBytes}`
      : isWhole !== (digest === blobDigest) || (isWhole && sizeBytes !== blobBytes)
        ? 'calls another blob the whole file'
        : (encoding === 'diff') !== (baseDigest !== null) || baseDigest === digest
          ? 'has no base for a diff, or one for something else'
          : null;
  if (problem !== null) throw new SyncError(`The sync plan is wrong about file ${digest.slice(0, 12)}: it ${problem}.`);
}

/** Bytes that the disk must take for all of it: what is transferred and what is made of it. */
export function diskBytesOf(
  work: readonly FileWork[],
  here: { encoding: (digest: string) => number; result: (digest: string) => number },
): number {
  return work.reduce((sum, { file }) => {
    const result = Math.max(0, file.sizeBytes - here.result(file.digest));
    const encoding = file.encoding === 'whole' ? 0 : Math.max(0, file.blobBytes - here.encoding(file.blobDigest));
    return sum + result + encoding;
  }, 0);
}

export function wireBytesOf(work: readonly FileWork[]): number {
  return work.reduce((sum, { file }) => sum + file.blobBytes, 0);
}
