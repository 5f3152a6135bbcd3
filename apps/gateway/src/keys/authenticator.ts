/**
 * Bearer keys checked from memory: no I/O for a known key, and the same answer for every kind of garbage (S3).
 *
 * A well-formed key that the table does not have may be newer than the table, so the control plane is asked first
 * (at most once a second, whoever asks). When it does not answer, the answer is 503: a gateway that has lost touch
 * cannot tell a wrong key from a new one, and must not say 401 (R12).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type RouteKey, splitToken } from '#domain';
import { type OpenAiError, openAiError } from '#inference';
import type { RouteTable } from '../routes/route-table.ts';

/** What the authenticator needs of the routes feed. */
export interface KeySource {
  readonly table: Pick<RouteTable, 'key'>;
  /** True once the control plane has confirmed that the table is the newest. */
  confirm(): Promise<boolean>;
}

export type Authentication = RouteKey | OpenAiError;

const NOBODY = Buffer.alloc(32);
/** "Bearer " and the longest token; anything longer is garbage and not looked at. */
const HEADER_LENGTH_MAX = 128;
const INVALID = openAiError('invalid_api_key');
const UNCHECKED = openAiError('no_ready_replica', {
  message: 'This gateway cannot check new keys now, because the control plane does not answer. Try again.',
  retryAfterSeconds: 2,
});

export class KeyAuthenticator {
  constructor(
    private readonly source: KeySource,
    private readonly pepper: Buffer,
    private readonly nowMs: () => number = Date.now,
  ) {}

  /** The key that an `Authorization` header proves, or the error to answer with. A promise for unknown keys only. */
  authenticate(authorization: string | undefined): Authentication | Promise<Authentication> {
    if (authorization === undefined || authorization.length > HEADER_LENGTH_MAX) return INVALID;
    const token = authorization.startsWith('Bearer ') ? splitToken('atoll', authorization.slice(7).trim()) : null;
    if (token === null) return INVALID;
    // The same work for unknown keys as for known ones.
    const given = createHmac('sha256', this.pepper).update(token.secret).digest();
    const key = this.source.table.key(token.publicId);
    return key === undefined ? this.askedFor(token.publicId, given) : this.judge(key, given);
  }

  private async askedFor(publicId: string, given: Buffer): Promise<Authentication> {
    const isConfirmed = await this.source.confirm();
    const key = this.source.table.key(publicId);
    if (key === undefined && !isConfirmed) return UNCHECKED;
    return this.judge(key, given);
  }

  private judge(key: RouteKey | undefined, given: Buffer): Authentication {
    const expected = key === undefined ? NOBODY : Buffer.from(key.secretHash, 'hex');
    const matches = expected.length === given.length && timingSafeEqual(expected, given);
    if (key === undefined || !matches) return INVALID;
    return key.expiresAtMs === null || key.expiresAtMs > this.nowMs() ? key : INVALID;
  }
}

export function isOpenAiError(value: Authentication): value is OpenAiError {
  return 'body' in value;
}
