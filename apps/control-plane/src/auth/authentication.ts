// From an Authorization header to an actor. Any garbage gives null, in the time that a wrong secret takes.

import { Injectable } from '@nestjs/common';
import { type ApiKey, Store, splitToken } from '#domain';
import { Secrets } from '../secrets/secrets.ts';
import type { Actor } from './actor.ts';

const CACHE_MS = 2_000;
const CACHED_KEYS_MAX = 1_000;
const HEADER_CHARACTERS_MAX = 512;

interface CachedKey {
  readonly key: ApiKey;
  /** Of the monotonic clock. */
  readonly untilMs: number;
  /** When the key ends, by the installation's clock when it was read, on the monotonic clock. */
  readonly endsMs: number;
}

@Injectable()
export class Authentication {
  /** Public id → row, for seconds only. Emptied when any intent changes, so a revocation elsewhere acts at once too. */
  readonly #cache = new Map<string, CachedKey>();

  constructor(
    private readonly store: Store,
    private readonly secrets: Secrets,
  ) {
    store.onChange('intent', () => this.#cache.clear());
  }

  /** Empties what is remembered of keys; call after a revocation was committed. */
  forget(): void {
    this.#cache.clear();
  }

  /**
   * The key's owner, or null for anything that is not a valid, unexpired, unrevoked key.
   *
   * @param header the Authorization header as it came
   * @param acceptBasic take the password of HTTP Basic as the key as well
   */
  async authenticate(header: string | undefined, acceptBasic = false): Promise<Actor | null> {
    const parts = splitToken('atoll', credentialIn(header, acceptBasic));
    if (parts === null) {
      this.secrets.matches('', null);
      return null;
    }
    const found = await this.#find(parts.publicId);
    const matches = this.secrets.matches(parts.secret, found?.key.secretHash ?? null);
    if (found === null || !matches || !isInForce(found)) return null;
    const { key } = found;
    return { tenantId: key.tenantId, keyId: key.id, name: `key:${key.publicId}`, role: key.role };
  }

  async #find(publicId: string): Promise<CachedKey | null> {
    const cached = this.#cache.get(publicId);
    if (cached !== undefined && cached.untilMs > performance.now()) return cached;
    const { apiKeys, clock } = this.store.read;
    const [key, now] = await Promise.all([apiKeys.find({ publicId }), clock.now()]);
    if (key === null) return null;
    if (this.#cache.size >= CACHED_KEYS_MAX) this.#cache.clear();
    const hereMs = performance.now();
    const leftMs = key.expiresAt === null ? Number.POSITIVE_INFINITY : key.expiresAt.getTime() - now.getTime();
    const found = { key, untilMs: hereMs + CACHE_MS, endsMs: hereMs + leftMs };
    this.#cache.set(publicId, found);
    return found;
  }
}

/** Revoked and expired keys are no keys. */
function isInForce({ key, endsMs }: CachedKey): boolean {
  return key.revokedAt === null && endsMs > performance.now();
}

/** Empty for anything unusual. */
function credentialIn(header: string | undefined, acceptBasic: boolean): string {
  if (header === undefined || header.length > HEADER_CHARACTERS_MAX) return '';
  const match = /^(bearer|basic) +([!-~]+) *$/i.exec(header);
  if (match === null) return '';
  const [, scheme = '', text = ''] = match;
  if (scheme.toLowerCase() === 'bearer') return text;
  if (!acceptBasic) return '';
  const decoded = Buffer.from(text, 'base64').toString('latin1');
  return decoded.slice(decoded.indexOf(':') + 1);
}
