/**
 * Names and identifiers.
 *
 * Ids are UUIDv7 strings: unique in the installation, ordered by creation. Names are DNS labels, unique within their
 * tenant: people type them, so they are checked once, at the edge.
 */

/** RFC 1123 label: 1–63 characters, lower-case letters, digits and inner hyphens. */
export const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Lower-case hexadecimal SHA-256, without a prefix. */
export const SHA256_HEX = /^[0-9a-f]{64}$/;

/** Any UUID in its canonical lower-case form. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The tenant that owns what nobody else owns; its row exists from the first migration on. */
export const DEFAULT_TENANT_ID = '00000000-0000-7000-8000-000000000001';

export type Labels = Readonly<Record<string, string>>;
