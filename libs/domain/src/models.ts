/** When snapshots are made and how long versions are kept. A version in use (`VersionUse`) is kept whatever this says. */
export interface ModelPolicy {
  /** Five-field cron, UTC: when a self-contained snapshot of the newest version is made. Default 01:30 every day. */
  readonly snapshotCron: string;
  /** This many of the newest versions are kept. Default 10, at least 1. */
  readonly keepVersions: number;
  /** Versions younger than this are kept. Default 30. */
  readonly keepDays: number;
}

export const DEFAULT_MODEL_POLICY: ModelPolicy = { snapshotCron: '30 1 * * *', keepVersions: 10, keepDays: 30 };

/** A model is a name; what is served is always one of its immutable versions. */
export interface Model {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly policy: ModelPolicy;
  readonly createdAt: Date;
  readonly revision: number;
}

export interface VersionFile {
  /** Relative POSIX path inside the version, e.g. `model.gguf`. */
  readonly path: string;
  /** SHA-256 of the content, lower-case hex. */
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Retired: kept as a row for history; its content may be collected. */
export const VERSION_PHASES = ['Uploading', 'Published', 'Abandoned', 'Retired'] as const;
export type VersionPhase = (typeof VERSION_PHASES)[number];

/** Ed25519 over `signedText(digest)`. */
export interface VersionSignature {
  /** Raw public key: 32 bytes in lower-case hex. */
  readonly publicKey: string;
  /** 64 bytes in lower-case hex. */
  readonly signature: string;
}

/** What the publisher of a version signs. It names its purpose, so that a signature made for something else is none. */
export function signedText(versionDigest: string): string {
  return `atoll model version v1\n${versionDigest}\n`;
}

export interface ModelVersion {
  readonly id: string;
  readonly tenantId: string;
  readonly modelId: string;
  /** 1, 2, 3 … within the model, given when the upload begins. */
  readonly number: number;
  readonly phase: VersionPhase;
  /** SHA-256 of the manifest text (see `manifestText`); null until published. */
  readonly digest: string | null;
  readonly sizeBytes: number;
  readonly files: readonly VersionFile[];
  readonly notes: string;
  /** The version it was made from, of the same model: what its first diff is encoded against. */
  readonly parentId: string | null;
  /** The publisher's own words (`run`, `dataset`, …); at most 64 entries. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Checked when it was published; null when the publisher did not sign. */
  readonly signature: VersionSignature | null;
  readonly createdAt: Date;
  readonly publishedAt: Date | null;
}

/** A name of a model that points at one published version and can be moved: `stable`, `canary`. */
export interface ModelAlias {
  readonly tenantId: string;
  readonly modelId: string;
  readonly name: string;
  readonly versionId: string;
  readonly movedAt: Date;
}

/** One entry of an alias's history. */
export interface AliasMove {
  readonly id: string;
  readonly tenantId: string;
  readonly modelId: string;
  readonly alias: string;
  /** Null when the alias was made by this move. */
  readonly fromVersionId: string | null;
  /** Null when the alias was removed. */
  readonly toVersionId: string | null;
  readonly actor: string;
  readonly at: Date;
}

/**
 * The text whose SHA-256 is a version's digest: a line a file, sorted by path bytewise, `<digest> <bytes> <path>\n`.
 * Everyone who holds the files can compute it again and so prove that they hold this very version.
 */
export function manifestText(files: readonly VersionFile[]): string {
  return [...files]
    .sort((left, right) => compareBytes(left.path, right.path))
    .map((file) => `${file.digest} ${file.sizeBytes} ${file.path}\n`)
    .join('');
}

const MANIFEST_LINE = /^([0-9a-f]{64}) (\d{1,16}) (.+)$/;

/** The files of a manifest; null unless it is what `manifestText` makes of files with proper paths. */
export function parseManifest(text: string): VersionFile[] | null {
  const lines = text.split('\n');
  if (lines.pop() !== '') return null;
  const files: VersionFile[] = [];
  for (const line of lines) {
    const [, digest, bytes, path] = MANIFEST_LINE.exec(line) ?? [];
    if (digest === undefined || path === undefined || versionPathProblem(path) !== null) return null;
    files.push({ path, digest, sizeBytes: Number(bytes) });
  }
  return manifestText(files) === text ? files : null;
}

/** Order of the UTF-8 bytes, which is that of the code points; `<` on strings is another one beyond U+FFFF. */
function compareBytes(left: string, right: string): number {
  const [lefts, rights] = [[...left], [...right]];
  for (let index = 0; index < Math.min(lefts.length, rights.length); index += 1) {
    const difference = lefts[index]!.codePointAt(0)! - rights[index]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return lefts.length - rights.length;
}

export const VERSION_PATH_BYTES_MAX = 255;

/**
 * Why a path may not name a file of a version, or null when it may.
 * Relative, POSIX, no empty, `.` or `..` segment, no backslash, no control character, at most 255 bytes.
 */
export function versionPathProblem(path: string): string | null {
  if (path.length === 0) return 'is empty';
  if (new TextEncoder().encode(path).length > VERSION_PATH_BYTES_MAX)
    return `is longer than ${VERSION_PATH_BYTES_MAX} bytes`;
  if (path.startsWith('/')) return 'is absolute; use a path relative to the version';
  if (path.includes('\\')) return 'contains a backslash; use forward slashes';
  for (const character of path) {
    const code = character.codePointAt(0)!;
    if (code < 32 || code === 127) return 'contains a control character';
  }
  if (path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
    return 'has an empty, "." or ".." segment';
  }
  return null;
}
