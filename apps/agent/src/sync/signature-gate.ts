// Which versions may be here when the operator of this cluster demands signatures (`sync.requireSignatureBy`, S7). A
// refused version is not fetched, what is on disk of it is not started, and an engine that runs it is stopped, also at a
// restart: the demand may be newer than the engine.
import type { DesiredVersion } from '#domain';
import { judgeSignature } from './signature.ts';

const REMEMBERED_MAX = 10_000;

export class SignatureGate {
  readonly #requiredKeys: readonly string[] | undefined;
  /** Asked each second for every version, and a signature costs a tenth of a millisecond. */
  readonly #remembered = new Map<string, string | null>();

  /** @param requiredKeys raw Ed25519 public keys in lower-case hex; undefined: every version may be here */
  constructor(requiredKeys: readonly string[] | undefined) {
    this.#requiredKeys = requiredKeys;
  }

  /** Why a version may not be here, or null. */
  refusal(version: Pick<DesiredVersion, 'digest' | 'signature'>): string | null {
    if (this.#requiredKeys === undefined) return null;
    const key = `${version.digest} ${version.signature?.publicKey} ${version.signature?.signature}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const refusal = judgeSignature(version, this.#requiredKeys);
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(key, refusal);
    return refusal;
  }

  /** Digest → why, of those that may not be here. */
  refusals(versions: readonly DesiredVersion[]): ReadonlyMap<string, string> {
    const refused = versions.map((version) => [version.digest, this.refusal(version)] as const);
    return new Map(refused.filter((entry): entry is readonly [string, string] => entry[1] !== null));
  }

  /** Why an engine that an earlier agent left may not go on, or null. Signatures are in the desired document only. */
  refusalOfRunning(versionDigest: string, versions: readonly DesiredVersion[]): string | null {
    if (this.#requiredKeys === undefined) return null;
    const version = versions.find(({ digest }) => digest === versionDigest);
    if (version !== undefined) return this.refusal(version);
    return `No desired document names version ${versionDigest.slice(0, 12)}, so nothing shows that it is signed (sync.requireSignatureBy).`;
  }
}
