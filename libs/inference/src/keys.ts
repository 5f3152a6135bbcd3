// Bearer keys checked from memory: no I/O for a known key, and the same answer for every kind of garbage (S3).
//
// A well-formed key that is not known may be newer than what is known, so whoever knows better is asked first (`confirm`).
// When that one does not answer, the answer is 503: who has lost touch cannot tell a wrong key from a new one, and must
// not say 401 (R12).
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Role, splitToken } from '#domain';
import { type OpenAiError, openAiError } from './errors.ts';

export interface CheckableKey {
  readonly publicId: string;
  /** HMAC-SHA-256 of the secret under the source's pepper, hex; null: cannot be checked here. */
  readonly secretHash: string | null;
  readonly tenantId: string;
  readonly role: Role;
  /** Served models that it may name; null: all. */
  readonly models: readonly string[] | null;
  /** Unix milliseconds; null: never. */
  readonly expiresAtMs: number | null;
}

/** What the authenticator needs of whoever holds the keys. */
export interface KeySource<Key extends CheckableKey> {
  readonly pepper: Buffer;
  key(publicId: string): Key | undefined;
  /** True once it was confirmed that what is held is the newest. */
  confirm(): Promise<boolean>;
  /** Why no key at all can be judged now; absent or null: they can. */
  obstacle?(): OpenAiError | null;
}

export type Authentication<Key extends CheckableKey> = Key | OpenAiError;

const NOBODY = Buffer.alloc(32);
/** "Bearer " and the longest token; anything longer is garbage and not looked at. */
const HEADER_LENGTH_MAX = 128;
const INVALID = openAiError('invalid_api_key');
const UNCHECKED = openAiError('no_ready_replica', {
  message: 'New keys cannot be checked now, because the control plane does not answer. Try again.',
  retryAfterSeconds: 2,
});
const UNCHECKABLE = openAiError('no_ready_replica', {
  message: 'This key was made before keys could be checked in clusters. Ask the gateway, or make a new key.',
  retryAfterSeconds: 60,
});

export class KeyAuthenticator<Key extends CheckableKey> {
  readonly #source: KeySource<Key>;
  readonly #nowMs: () => number;
  readonly #unchecked: () => OpenAiError;

  /** `nowMs`: Unix milliseconds. `unchecked`: what to say of a new key that nobody can be asked about. */
  constructor(source: KeySource<Key>, nowMs: () => number = Date.now, unchecked: () => OpenAiError = () => UNCHECKED) {
    this.#source = source;
    this.#nowMs = nowMs;
    this.#unchecked = unchecked;
  }

  /** The key that an `Authorization` header proves, or the error to answer with. A promise for unknown keys only. */
  authenticate(authorization: string | undefined): Authentication<Key> | Promise<Authentication<Key>> {
    if (authorization === undefined || authorization.length > HEADER_LENGTH_MAX) return INVALID;
    const token = authorization.startsWith('Bearer ') ? splitToken('atoll', authorization.slice(7).trim()) : null;
    if (token === null) return INVALID;
    const obstacle = this.#source.obstacle?.() ?? null;
    if (obstacle !== null) return obstacle;
    const key = this.#source.key(token.publicId);
    return key === undefined ? this.#askFor(token) : this.#judge(key, token.secret);
  }

  async #askFor({ publicId, secret }: { publicId: string; secret: string }): Promise<Authentication<Key>> {
    const isConfirmed = await this.#source.confirm();
    const key = this.#source.key(publicId);
    if (key === undefined && !isConfirmed) return this.#unchecked();
    return this.#judge(key, secret);
  }

  /** The same work for unknown keys as for known ones. */
  #judge(key: Key | undefined, secret: string): Authentication<Key> {
    const given = createHmac('sha256', this.#source.pepper).update(secret).digest();
    if (key?.secretHash === null) return UNCHECKABLE;
    const expected = key === undefined ? NOBODY : Buffer.from(key.secretHash, 'hex');
    const matches = expected.length === given.length && timingSafeEqual(expected, given);
    if (key === undefined || !matches) return INVALID;
    return key.expiresAtMs === null || key.expiresAtMs > this.#nowMs() ? key : INVALID;
  }
}

export function isOpenAiError<Key extends CheckableKey>(value: Authentication<Key>): value is OpenAiError {
  return 'body' in value;
}

/** Whether the key may name this served model. */
export function mayUseModel({ models }: Pick<CheckableKey, 'models'>, servedModel: string): boolean {
  return models === null || models.includes(servedModel);
}
