// What may be a file of a model version (S7). What a file is, its first bytes say, never its name: GGUF and safetensors
// must be well-formed, and pickles, which run code when they are loaded, are refused unless the installation allows
// them. A name only adds to that: it refuses early, or claims a format that the content must then have.

import { type ByteSource, ModelSyncError, memorySource, readExactly, readLayout, recognise } from '#modelsync';

/** Enough of a file to tell its format. */
export const HEAD_BYTES = 512;

const PICKLE_ENDINGS = ['.bin', '.pt', '.pth', '.pkl', '.pickle', '.ckpt'];
const ZIP = Buffer.from([0x50, 0x4b, 0x03, 0x04]);

export interface ContentRules {
  readonly pickleAllowed: boolean;
}

/** Why a file of this name is refused before any byte came, or null. */
export function nameProblem(path: string, rules: ContentRules): string | null {
  const ending = PICKLE_ENDINGS.find((each) => path.toLowerCase().endsWith(each));
  if (ending === undefined || rules.pickleAllowed) return null;
  return `ends in ${ending}, which may hold a pickle that runs code when loaded; convert it to safetensors or GGUF`;
}

/**
 * Why content that begins so is refused under this name, or null.
 *
 * @param head the first bytes: HEAD_BYTES of them, or all when the file is shorter
 */
export async function headProblem(path: string, head: Uint8Array, rules: ContentRules): Promise<string | null> {
  const format = await recognise(memorySource(head));
  const name = path.toLowerCase();
  if (name.endsWith('.gguf') && format !== 'gguf') return 'is named .gguf but does not begin with "GGUF"';
  if (name.endsWith('.safetensors') && format !== 'safetensors') {
    return 'is named .safetensors but does not begin with the length of a JSON header and that header';
  }
  // Any archive may hold a pickle behind what comes first in it.
  const isPickle = format === 'pickle' || ZIP.equals(head.subarray(0, ZIP.length));
  if (!isPickle || rules.pickleAllowed) return null;
  return 'begins like a pickle or an archive that can hold one, which runs code when loaded; convert it to safetensors or GGUF';
}

/** Why this whole file is refused under this name, or null. Reads its header only. */
export async function contentProblem(path: string, source: ByteSource, rules: ContentRules): Promise<string | null> {
  const head = await readExactly(source, 0, Math.min(HEAD_BYTES, source.size));
  const problem = await headProblem(path, head, rules);
  if (problem !== null) return problem;
  if ((await recognise(memorySource(head))) === 'pickle') return null;
  try {
    await readLayout(source);
    return null;
  } catch (error) {
    if (error instanceof ModelSyncError) return `is ${error.message}`;
    throw error;
  }
}
