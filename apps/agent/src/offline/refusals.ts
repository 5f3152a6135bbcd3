// How a cluster's own endpoint says that it cannot judge: what is the matter, and since when the centre was not seen.
import { type OpenAiError, openAiError } from '#inference';
import type { BundleState } from './bundle-keeper.ts';

const RETRY_SECONDS = 30;

/** Null: the bundle can be used. `contactMs`: when the centre was last seen, Unix milliseconds; null: never. */
export function bundleRefusal(state: BundleState, contactMs: number | null): OpenAiError | null {
  if (state.state === 'valid') return null;
  const message = `${REASONS[state.state](state as never)}; ${lastSeen(contactMs)}.`;
  return openAiError('offline_permission', { message, retryAfterSeconds: RETRY_SECONDS });
}

const REASONS = {
  none: () => 'This cluster has no offline permission yet',
  unproven: () => "This cluster's stored offline permission is not proven by the centre's key",
  early: () => "This cluster's offline permission was issued at a time that is yet to come: its clock is wrong",
  expired: ({ endedAgoMs }: Extract<BundleState, { state: 'expired' }>) =>
    `This cluster's offline permission ended ${inWords(endedAgoMs)} ago`,
} as const satisfies Record<Exclude<BundleState['state'], 'valid'>, (state: never) => string>;

/** A key that is not in the bundle, while nobody can be asked whether it is newer than the bundle. */
export function uncheckedKey(contactMs: number | null): OpenAiError {
  const message = `This cluster cannot check new keys now; ${lastSeen(contactMs)}.`;
  return openAiError('offline_permission', { message, retryAfterSeconds: 2 });
}

/** "the centre was last seen 2026-11-30T01:02:03Z" */
export function lastSeen(contactMs: number | null): string {
  if (contactMs === null) return 'the centre has not been seen yet';
  return `the centre was last seen ${new Date(contactMs).toISOString().slice(0, 19)}Z`;
}

/** "2 h", "3 d"; the largest unit that fits. */
export function inWords(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
