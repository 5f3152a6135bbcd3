// How each file of a version is best encoded for those who hold another version. Pure.

import type { VersionFile } from '#domain';

/** Smaller files are fetched as they are: an encoding's own frame would be most of it. */
export const ENCODED_BYTES_MIN = 1_024;

export interface FileTask {
  readonly file: VersionFile;
  /** What to encode it against; null: by itself. */
  readonly base: VersionFile | null;
}

/**
 * One task for each content of the version that the base does not have, in the version's order. A file is encoded against
 * the file of the same path; where there is none, and exactly one file on either side is left over with the same ending
 * and that file is gone from the version, it was renamed, and is encoded against that.
 *
 * @param baseFiles empty: for those who hold nothing
 */
export function planEncodings(files: readonly VersionFile[], baseFiles: readonly VersionFile[]): FileTask[] {
  const held = new Set(baseFiles.map(({ digest }) => digest));
  const missing = new Map<string, VersionFile>();
  for (const file of files) if (!held.has(file.digest) && !missing.has(file.digest)) missing.set(file.digest, file);
  const byPath = new Map(baseFiles.map((file) => [file.path, file]));
  const paths = new Set(files.map(({ path }) => path));
  const gone = baseFiles.filter(({ path }) => !paths.has(path));
  const added = [...missing.values()].filter(({ path }) => !byPath.has(path));
  const renamedFrom = (file: VersionFile): VersionFile | null => {
    const sameEnding = ({ path }: VersionFile) => endingOf(path) === endingOf(file.path);
    const [candidates, rivals] = [gone.filter(sameEnding), added.filter(sameEnding)];
    return candidates.length === 1 && rivals.length === 1 ? candidates[0]! : null;
  };
  return [...missing.values()].map((file) => ({ file, base: byPath.get(file.path) ?? renamedFrom(file) }));
}

function endingOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name.includes('.') ? name.slice(name.lastIndexOf('.')).toLowerCase() : '';
}
