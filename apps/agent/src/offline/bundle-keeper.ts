// The offline bundle: fetched at each connection and every 30 s (jittered), proven, kept on disk, and judged by age (R4).
//
// Invariants: only a bundle that the centre signed, for this cluster, of a sequence that is not lower than the one held,
// is used, and it is proven again at every load; its age is reckoned by `bundle-age.ts`, so that neither restarts nor
// clocks extend it (R22); losing contact takes nothing away before its time. What cannot be judged is said to be so, with
// when the centre was last seen.
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { z } from 'zod';
import { BUNDLE_REFETCH_INTERVAL_MS, bundleReplySchema, offlineBundleSchema } from '#contracts';
import { type OfflineBundle, retryDelayMs } from '#domain';
import type { StateDocument } from '#files';
import { messageOf } from '../errors.ts';
import { ageMs, type BundleMarks, type BundleStanding, reckonedWallMs, standingOf } from './bundle-age.ts';
import { isSignedBundle } from './bundle-signature.ts';
import type { OfflineClock } from './offline-clock.ts';
import { OfflineView } from './offline-view.ts';

/** Marks are written this often at most. */
const NOTE_MS = 60_000;
/** Without an answer for so long the centre is out of contact: two regular fetches failed. */
const CONTACT_MS = 75_000;
/** Who needs certainty asks the centre at most this often, however many want to know. */
const CONFIRMED_FOR_MS = 1_000;

/** The text exactly as it was signed. */
export const storedBundleSchema = z.object({ text: z.string(), signature: z.string() });
export const bundleMarksSchema = z.object({
  sequence: z.int(),
  ranMs: z.number(),
  wallMs: z.number(),
  /** Unix milliseconds, by this machine; null: never. */
  contactMs: z.number().nullable(),
});

export interface BundleKeeperOptions {
  readonly clusterId: string;
  readonly document: Pick<StateDocument<typeof storedBundleSchema>, 'read' | 'write'>;
  readonly marks: Pick<StateDocument<typeof bundleMarksSchema>, 'read' | 'write'>;
  /** One question to the centre; rejects when nobody answers. */
  readonly request: (have: string | null) => Promise<unknown>;
  /** SPKI, PEM; undefined until the centre told it once. */
  readonly verifyingKey: () => string | undefined;
  /** A bundle came whose signature our key does not prove: the key may be out of date. */
  readonly onDoubt: () => void;
  /** From now on this one counts: from disk, or newly come. */
  readonly onBundle?: (view: OfflineView) => void;
  readonly clock: OfflineClock;
  readonly log: Logger;
}

export type BundleState =
  | { readonly state: 'none' }
  /** On disk, and not proven by the key that is held: forged, or the key is another one now. */
  | { readonly state: 'unproven' }
  | BundleStanding;

export class BundleKeeper {
  readonly #options: BundleKeeperOptions;
  #view: OfflineView | undefined;
  #digest: string | null = null;
  #isUnproven = false;
  /** Age at `#basedAtMs`, of the elapsed clock. */
  #baseAgeMs: number | null = null;
  #basedAtMs = 0;
  #wallAtBaseMs = 0;
  #contact: { readonly elapsedMs: number; readonly wallMs: number } | undefined;
  #contactBefore: number | null = null;
  #lastFetch = { endedAtMs: Number.NEGATIVE_INFINITY, isAnswered: false };
  #fetching: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #noting: NodeJS.Timeout | undefined;
  #failures = 0;
  #isStopped = false;

  constructor(options: BundleKeeperOptions) {
    this.#options = options;
  }

  /** What is held, whether it may be used or not. */
  get view(): OfflineView | undefined {
    return this.#view;
  }

  /** Unix milliseconds of this machine's clock; null: never, as far as is known. */
  get contactMs(): number | null {
    return this.#contact?.wallMs ?? this.#contactBefore;
  }

  get isInContact(): boolean {
    return this.#contact !== undefined && this.#options.clock.elapsedMs() - this.#contact.elapsedMs < CONTACT_MS;
  }

  state(): BundleState {
    if (this.#isUnproven) return { state: 'unproven' };
    if (this.#view === undefined) return { state: 'none' };
    // A clock that was wrong at the start may have been put right.
    if (this.#baseAgeMs === null) this.#rebase(null);
    return standingOf(this.#view.bundle, this.#baseAgeMs, this.#ranMs);
  }

  /** Unix milliseconds to judge expiries by: the wall clock, but never before a time that was already seen. */
  nowMs(): number {
    const wallMs = this.#options.clock.wallMs();
    return this.#view === undefined ? wallMs : Math.max(wallMs, this.#wallAtBaseMs + this.#ranMs);
  }

  /** After the verifying key was read. */
  async open(): Promise<void> {
    const marks = await this.#options.marks.read();
    this.#contactBefore = marks?.contactMs ?? null;
    const stored = await this.#options.document.read();
    if (stored === null) return;
    const bundle = this.#prove(stored.text, stored.signature);
    if (typeof bundle === 'string') {
      this.#isUnproven = true;
      return this.#options.log.error({ reason: bundle }, 'the stored offline bundle is not used');
    }
    this.#use(bundle, stored.text, marks);
  }

  start(): void {
    this.#schedule(BUNDLE_REFETCH_INTERVAL_MS);
    this.#noting = setInterval(() => this.#note(), NOTE_MS);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#noting);
    await this.#fetching;
    await this.#writeMarks();
  }

  /** The centre answered anything. */
  contacted(): void {
    this.#contact = { elapsedMs: this.#options.clock.elapsedMs(), wallMs: this.#options.clock.wallMs() };
  }

  /** One at a time. Never rejects. */
  fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
      this.#lastFetch = { ...this.#lastFetch, endedAtMs: this.#options.clock.elapsedMs() };
    });
    return this.#fetching;
  }

  /** True when the centre said, now or within the last second, that what is held is the newest. */
  async confirm(): Promise<boolean> {
    const isOld = this.#options.clock.elapsedMs() - this.#lastFetch.endedAtMs > CONFIRMED_FOR_MS;
    if (this.#fetching !== undefined || isOld) await this.fetch();
    return this.#lastFetch.isAnswered && this.state().state === 'valid';
  }

  async #fetchOnce(): Promise<void> {
    const isAnswered = await this.#ask().catch((cause: unknown) => {
      this.#options.log.debug({ reason: messageOf(cause) }, 'offline bundle not fetched; trying again later');
      return false;
    });
    this.#lastFetch = { ...this.#lastFetch, isAnswered };
    this.#failures = isAnswered ? 0 : this.#failures + 1;
    if (this.#isStopped || this.#timer === undefined) return;
    const waitMs = isAnswered ? BUNDLE_REFETCH_INTERVAL_MS : retryDelayMs(this.#failures);
    this.#schedule(Math.min(BUNDLE_REFETCH_INTERVAL_MS, waitMs));
  }

  #schedule(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.fetch(), waitMs * (0.75 + Math.random() * 0.5));
  }

  /** True when what is held now is what the centre wants us to hold. */
  async #ask(): Promise<boolean> {
    const reply = bundleReplySchema.parse(await this.#options.request(this.#digest));
    if (reply.answer === 'unchanged') {
      this.contacted();
      if (this.#view !== undefined) this.#stoodBy();
      return this.#view !== undefined;
    }
    return this.#take(reply.text, reply.signature);
  }

  async #take(text: string, signature: string): Promise<boolean> {
    const { document, log, onDoubt } = this.#options;
    const bundle = this.#prove(text, signature);
    const refusal = typeof bundle === 'string' ? bundle : this.#refusalOf(bundle);
    if (typeof bundle === 'string' || refusal !== null) {
      log.warn({ reason: refusal }, 'an offline bundle was refused');
      if (typeof bundle === 'string') onDoubt();
      return false;
    }
    this.contacted();
    this.#isUnproven = false;
    this.#use(bundle, text, null);
    this.#stoodBy();
    const { sequence, keys, deployments } = bundle;
    log.info({ sequence, keys: keys.length, deployments: deployments.length }, 'offline bundle in use');
    // What could not be stored counts now; a restart without the centre then serves by the one before.
    await document
      .write({ text, signature })
      .catch((cause: unknown) => log.error({ reason: messageOf(cause) }, 'the offline bundle is not stored'));
    await this.#writeMarks();
    return true;
  }

  /** The bundle, or why it is none. */
  #prove(text: string, signature: string): OfflineBundle | string {
    const key = this.#options.verifyingKey();
    if (key === undefined) return 'the key that would prove it is not known yet';
    if (!isSignedBundle(text, signature, key)) return 'its signature is not of the key that is known here';
    const parsed = offlineBundleSchema.safeParse(parseJson(text));
    if (!parsed.success) return 'it is signed, and not of the contract';
    return parsed.data.clusterId === this.#options.clusterId ? parsed.data : 'it is of another cluster';
  }

  #refusalOf({ sequence }: OfflineBundle): string | null {
    const held = this.#view?.bundle.sequence ?? 0;
    return sequence < held ? `its sequence ${sequence} is lower than ${held}` : null;
  }

  #use(bundle: OfflineBundle, text: string, marks: BundleMarks | null): void {
    this.#view = new OfflineView(bundle);
    this.#digest = createHash('sha256').update(text).digest('hex');
    this.#rebase(marks);
    this.#options.onBundle?.(this.#view);
  }

  #rebase(marks: BundleMarks | null): void {
    const { clock } = this.#options;
    const term = this.#view!.bundle;
    this.#baseAgeMs = ageMs(term, marks, clock.wallMs());
    this.#wallAtBaseMs = reckonedWallMs(term, marks, clock.wallMs());
    this.#basedAtMs = clock.elapsedMs();
  }

  /** The centre gave it, or said that it is the newest, just now: whatever this machine's clock says, it is young. */
  #stoodBy(): void {
    this.#wallAtBaseMs = this.nowMs();
    this.#baseAgeMs = 0;
    this.#basedAtMs = this.#options.clock.elapsedMs();
  }

  get #ranMs(): number {
    return this.#options.clock.elapsedMs() - this.#basedAtMs;
  }

  #note(): void {
    void this.#writeMarks();
  }

  async #writeMarks(): Promise<void> {
    const { marks, log } = this.#options;
    const sequence = this.#view?.bundle.sequence ?? 0;
    const note = {
      sequence,
      ranMs: (this.#baseAgeMs ?? 0) + this.#ranMs,
      wallMs: this.#wallAtBaseMs + this.#ranMs,
      contactMs: this.contactMs,
    };
    await marks
      .write(note)
      .catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'the age of the offline bundle is not noted'));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
