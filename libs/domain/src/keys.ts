import type { Role } from './permissions.ts';

/** A bearer key. The secret is shown once; only its peppered hash is kept (S3). */
export interface ApiKey {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  /** Public part of the key, found in `atoll_<publicId>_<secret>`. */
  readonly publicId: string;
  /** HMAC-SHA-256 of the secret under the installation's pepper, lower-case hex. */
  readonly secretHash: string;
  /** The same under the pepper of offline bundles; null: made before there was one, so clusters cannot check it. */
  readonly offlineHash: string | null;
  readonly role: Role;
  /** Served models that an inference call may name; null means all. */
  readonly models: readonly string[] | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly createdAt: Date;
}

/** A single-use right to join as one named cluster. */
export interface JoinToken {
  readonly id: string;
  readonly tenantId: string;
  readonly publicId: string;
  readonly secretHash: string;
  readonly clusterName: string;
  readonly kind: 'central' | 'edge';
  readonly region: string;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly preApproved: boolean;
  readonly expiresAt: Date;
  readonly usedAt: Date | null;
  readonly createdAt: Date;
}

/** Splits `<prefix>_<publicId>_<secret>`; null for anything of another shape. Never throws, whatever the garbage. */
export function splitToken(prefix: 'atoll' | 'atolljoin', text: string): { publicId: string; secret: string } | null {
  const match = /^([a-z]+)_([A-Za-z0-9]{8,32})_([A-Za-z0-9_-]{32,64})$/.exec(text);
  return match !== null && match[1] === prefix ? { publicId: match[2]!, secret: match[3]! } : null;
}
