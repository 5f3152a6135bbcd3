// What is wrong with the list of files that a version declares. Pure.

import { versionPathProblem } from '#domain';
import { type ContentRules, nameProblem } from '../blobs/content-rules.ts';

export interface DeclaredFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Every problem with its field; empty when the list is fine. Paths that differ only in case are taken for the same. */
export function fileProblems(
  files: readonly DeclaredFile[],
  rules: ContentRules,
): { field: string; message: string }[] {
  const seen = new Map<string, number>();
  const problems: { field: string; message: string }[] = [];
  for (const [index, { path }] of files.entries()) {
    const field = `files[${index}].path`;
    const problem = versionPathProblem(path) ?? nameProblem(path, rules);
    const same = seen.get(path.toLowerCase());
    if (problem !== null) problems.push({ field, message: problem });
    else if (same !== undefined) problems.push({ field, message: `is the same as files[${same}].path` });
    seen.set(path.toLowerCase(), index);
  }
  const folders = foldersOf(files);
  for (const [index, { path }] of files.entries()) {
    if (folders.has(path))
      problems.push({ field: `files[${index}].path`, message: 'is also the folder of another file' });
  }
  if (!Number.isSafeInteger(files.reduce((sum, file) => sum + file.sizeBytes, 0))) {
    problems.push({ field: 'files', message: 'are too large together' });
  }
  return problems;
}

function foldersOf(files: readonly DeclaredFile[]): Set<string> {
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
      folders.add(path.slice(0, end));
  }
  return folders;
}
