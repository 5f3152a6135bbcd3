/**
 * A desired document in a few bytes an item: a hash of each, joined. Both sides make it the same way from what they
 * hold, so an outline can be compared, whoever made it and whatever either has forgotten.
 */
import { createHash } from 'node:crypto';
import { canonicalJson, type DesiredState } from '#domain';

/** 96 bits, base64url: two items of a document never share one. */
const HASH_CHARACTERS = 16;
/** 10,000 items. */
export const OUTLINE_CHARACTERS_MAX = HASH_CHARACTERS * 10_000;

export interface DesiredOutline {
  readonly versions: string;
  readonly replicas: string;
  readonly tasks: string;
}

export function itemHash(item: unknown): string {
  return itemHashOfText(canonicalJson(item));
}

/** @param canonical the item's canonical JSON */
export function itemHashOfText(canonical: string): string {
  return createHash('sha256').update(canonical).digest('base64url').slice(0, HASH_CHARACTERS);
}

export function outlineOf({ versions, replicas, tasks }: Pick<DesiredState, keyof DesiredOutline>): DesiredOutline {
  const join = (items: readonly unknown[]) => items.map(itemHash).join('');
  return { versions: join(versions), replicas: join(replicas), tasks: join(tasks) };
}

/** Of the whole document: its position and every item. */
export function outlineDigest(
  { epoch, revision }: Pick<DesiredState, 'epoch' | 'revision'>,
  outline: DesiredOutline,
): string {
  return itemHash({ epoch, revision, ...outline });
}

/** The hashes of the items, in order. */
export function outlineHashes(joined: string): string[] {
  return joined.match(new RegExp(`.{${HASH_CHARACTERS}}`, 'g')) ?? [];
}
