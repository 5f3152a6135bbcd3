import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VersionFolder } from '../src/sync/version-folder.ts';

/**
 * Digests of the versions in an agent's state folder, running or not; each was hashed just now.
 * Throws when a version's folder is there and not whole: an engine could have been given it (invariant 5).
 */
export async function verifiedVersions(stateFolder: string): Promise<string[]> {
  const folder = new VersionFolder(stateFolder);
  const names = await readdir(join(stateFolder, 'versions'), { withFileTypes: true }).catch(() => []);
  const digests = names.filter((each) => each.isDirectory() && !each.name.startsWith('.')).map(({ name }) => name);
  for (const digest of digests) {
    const manifest = await folder.manifest(digest);
    if (manifest === null) throw new Error(`The folder of version ${digest} has no manifest that proves itself.`);
    const damaged = await folder.findDamaged(digest, manifest.files, new AbortController().signal);
    if (damaged !== null) throw new Error(`Version ${digest} has ${damaged.path} with digest ${damaged.foundDigest}.`);
  }
  return digests.sort();
}
