// Versions on disk: `versions/<digest>/` holds hard links to verified blobs, `versions/<digest>.manifest.json` the list
// of files. The list proves itself, for its own SHA-256 is the version's digest. A version's folder appears by one
// rename with all its files, or not at all. `blobs/fetches/<digest>/` is what a fetch of that version has in hand besides
// its files: encodings, and files of versions in between. It outlives kills, and goes when the version is here or unwanted.
import { createHash, randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { digestSchema, versionFileSchema } from '#contracts';
import { type DesiredVersion, manifestText, type VersionFile, versionPathProblem } from '#domain';
import { syncFolder, writeDurably } from '#files';
import { hasCode, SyncError } from '../errors.ts';
import { blobPath, hashFile } from './blob-download.ts';

const manifestSchema = z.object({ modelName: z.string(), files: z.array(versionFileSchema).min(1) });
export type VersionManifest = z.infer<typeof manifestSchema>;

/** `foundDigest`: what its content has now; null when it cannot be read. */
export type DamagedFile = VersionFile & { readonly foundDigest: string | null };

export class VersionFolder {
  readonly #versions: string;
  readonly #blobs: string;
  readonly #fetches: string;

  readonly #link: typeof link;

  /** `hardLink`: how the filesystem makes one. */
  constructor(stateFolder: string, hardLink: typeof link = link) {
    this.#link = hardLink;
    this.#versions = join(stateFolder, 'versions');
    this.#blobs = join(stateFolder, 'blobs');
    this.#fetches = join(this.#blobs, 'fetches');
  }

  get blobsFolder(): string {
    return this.#blobs;
  }

  pathOf(digest: string): string {
    return join(this.#versions, digest);
  }

  /** A folder of blobs, like `blobsFolder`, for what a fetch of a version needs and the version does not. */
  fetchFolder(digest: string): string {
    return join(this.#fetches, digest);
  }

  async removeFetchFolder(digest: string): Promise<void> {
    await rm(this.fetchFolder(digest), { recursive: true, force: true });
  }

  /** Removes what is aside for a version and not among `used`, partial or not; false when there was nothing. */
  async trimFetchFolder(digest: string, used: ReadonlySet<string>): Promise<boolean> {
    const folder = join(this.fetchFolder(digest), 'sha256');
    const names = await readdir(folder).catch((cause: unknown) => {
      if (hasCode(cause, 'ENOENT')) return [];
      throw cause;
    });
    const unused = names.filter((name) => !used.has(name.replace(/\.partial$/, '')));
    for (const name of unused) await rm(join(folder, name), { force: true });
    return unused.length > 0;
  }

  /** Makes the folders and removes what an interrupted switch left. */
  async open(): Promise<void> {
    await mkdir(this.#versions, { recursive: true, mode: 0o700 });
    await mkdir(join(this.#blobs, 'sha256'), { recursive: true, mode: 0o700 });
    await mkdir(this.#fetches, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#versions)) {
      if (name.startsWith('.')) await rm(join(this.#versions, name), { recursive: true, force: true });
    }
  }

  /** Versions whose files are all here with the right sizes; their content is not looked at. */
  async list(): Promise<Map<string, VersionManifest>> {
    const found = new Map<string, VersionManifest>();
    for (const name of await readdir(this.#versions)) {
      if (!digestSchema.safeParse(name).success) continue;
      const manifest = await this.manifest(name);
      if (manifest !== null && (await this.#hasSizes(name, manifest.files))) found.set(name, manifest);
    }
    return found;
  }

  /** Every version that has a folder or a manifest, whole or not. */
  async digests(): Promise<string[]> {
    const names = await readdir(this.#versions);
    return [...new Set(names.map((name) => name.replace(/\.manifest\.json$/, '')))].filter(
      (name) => digestSchema.safeParse(name).success,
    );
  }

  /** Null when there is none, or it is not the one that the digest names. */
  async manifest(digest: string): Promise<VersionManifest | null> {
    try {
      const manifest = manifestSchema.parse(JSON.parse(await readFile(this.#manifestPath(digest), 'utf8')));
      return digestOf(manifest.files) === digest ? manifest : null;
    } catch {
      return null;
    }
  }

  /** Hashes every byte. The first file whose content is not what the manifest says, or null when all are proven. */
  async findDamaged(digest: string, files: readonly VersionFile[], signal: AbortSignal): Promise<DamagedFile | null> {
    for (const file of files) {
      const path = join(this.pathOf(digest), file.path);
      const hash = await hashFile(path, signal).catch((cause: unknown) => {
        if (hasCode(cause, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EIO')) return null;
        throw cause;
      });
      const foundDigest = hash?.digest('hex') ?? null;
      if (foundDigest !== file.digest) return { ...file, foundDigest };
    }
    return null;
  }

  /** The atomic switch: links all files in a folder aside, syncs it, and gives it its name. */
  async assemble(version: Pick<DesiredVersion, 'digest' | 'modelName' | 'files'>): Promise<void> {
    const aside = join(this.#versions, `.${version.digest}.${randomUUID()}`);
    try {
      const folders = new Set([aside]);
      for (const file of version.files) {
        const path = join(aside, file.path);
        folders.add(dirname(path));
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await this.#linkOrCopy(file, path);
      }
      for (const folder of folders) await syncFolder(folder);
      const { modelName, files } = version;
      await writeDurably(this.#manifestPath(version.digest), JSON.stringify({ modelName, files }));
      await rm(this.pathOf(version.digest), { recursive: true, force: true });
      await rename(aside, this.pathOf(version.digest));
      await syncFolder(this.#versions);
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }

  /** Removes a version; its blobs stay until `sweep`. A process that has the files open keeps them. */
  async remove(digest: string): Promise<void> {
    await rm(this.pathOf(digest), { recursive: true, force: true });
    await rm(this.#manifestPath(digest), { force: true });
  }

  /**
   * Removes blobs, partial ones too, that no version here and none of `wantedDigests` (of files) needs, and what fetches
   * of other versions than `fetchedDigests` have left.
   */
  async sweep(wantedDigests: ReadonlySet<string>, fetchedDigests: ReadonlySet<string> = new Set()): Promise<void> {
    for (const name of await readdir(this.#fetches)) {
      if (!fetchedDigests.has(name)) await rm(join(this.#fetches, name), { recursive: true, force: true });
    }
    const folder = join(this.#blobs, 'sha256');
    const kept = new Set(wantedDigests);
    for (const { files } of (await this.list()).values()) for (const file of files) kept.add(file.digest);
    for (const name of await readdir(folder)) {
      if (!kept.has(name.replace(/\.partial$/, ''))) await rm(join(folder, name), { force: true });
    }
  }

  /** Filesystems without hard links get a copy, whose bytes on disk are proven like those of the blob. */
  async #linkOrCopy({ path, digest }: VersionFile, to: string): Promise<void> {
    const from = blobPath(this.#blobs, digest);
    try {
      await this.#link(from, to);
    } catch (cause) {
      if (!hasCode(cause, 'EPERM', 'ENOTSUP', 'EXDEV', 'EMLINK')) throw cause;
      await copyFile(from, to);
      const found = (await hashFile(to, new AbortController().signal)).digest('hex');
      if (found !== digest) throw new SyncError(`${path}: its copy has digest ${found}, wanted ${digest}.`);
    }
  }

  #manifestPath(digest: string): string {
    return join(this.#versions, `${digest}.manifest.json`);
  }

  async #hasSizes(digest: string, files: readonly VersionFile[]): Promise<boolean> {
    for (const file of files) {
      const found = await stat(join(this.pathOf(digest), file.path)).catch(() => null);
      if (found === null || !found.isFile() || found.size !== file.sizeBytes) return false;
    }
    return true;
  }
}

export function digestOf(files: readonly VersionFile[]): string {
  return createHash('sha256').update(manifestText(files)).digest('hex');
}

/** @throws SyncError when a version's list of files is not what its digest names, or holds a path that may not be */
export function checkManifest(version: Pick<DesiredVersion, 'digest' | 'files'>): void {
  const paths = new Set<string>();
  for (const { path } of version.files) {
    const problem = versionPathProblem(path);
    if (problem !== null) throw new SyncError(`A path of version ${version.digest.slice(0, 12)} ${problem}.`);
    if (paths.has(path)) throw new SyncError(`Version ${version.digest.slice(0, 12)} has two files at one path.`);
    paths.add(path);
  }
  if (digestOf(version.files) !== version.digest) {
    throw new SyncError(`The list of files of version ${version.digest.slice(0, 12)} does not have that digest.`);
  }
}
