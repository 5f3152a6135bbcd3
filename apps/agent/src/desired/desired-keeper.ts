// The desired document: fetched on a hint, at every connection and each 30 s (jittered), fenced, persisted, then applied.
// A fetch that failed is tried again sooner: after NATS came back, the centre may be a moment behind us.
//
// Invariants: nothing of an older epoch, or of a lower revision of the same epoch, is applied (DESIGN §7.4); what is
// applied is on disk first, so that a restart applies the same (R4); silence changes nothing.
import type { Logger } from 'pino';
import { z } from 'zod';
import {
  type DesiredFetch,
  type DesiredFetchReply,
  type DesiredOutline,
  desiredFetchReplySchema,
  desiredStateSchema,
  outlineDigest,
  outlineOf,
} from '#contracts';
import { applyListDelta, type DesiredState, judgeDesired, retryDelayMs } from '#domain';
import type { StateDocument } from '#files';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import type { BlobSource } from '../sync/blob-download.ts';
import { tellsMore } from './fuller-document.ts';

const REFETCH_MS = 30_000;
/** A token that our key does not prove makes us fetch the key at most this often, whatever strangers send. */
const DOUBT_MS = 10_000;
/** A token is used for this share of its life, by the monotonic clock. */
const TOKEN_USE = 0.8;

/** The control plane's public key, kept so that neighbours are served while the centre is away. */
export const verifyingKeySchema = z.object({ verifyingKey: z.string().max(1_000) });

export interface DesiredKeeperOptions {
  readonly clusterId: string;
  readonly document: Pick<StateDocument<typeof desiredStateSchema>, 'read' | 'write'>;
  /** One request for the document; rejects when nobody answers. */
  readonly request: (have: DesiredFetch) => Promise<unknown>;
  /** Called with the stored document at `open`, and with each newer one after it is durable. */
  readonly apply: (state: DesiredState, before: DesiredState | null) => void;
  /** Default: the verifying key is remembered only until the next start. */
  readonly keyDocument?: Pick<StateDocument<typeof verifyingKeySchema>, 'read' | 'write'>;
  /** Called with every answer that says when what is held is to be hashed again. */
  readonly onVerification?: (verification: NonNullable<DesiredFetchReply['verification']>) => void;
  /**
   * The control plane answered a question of `agoMs` ago, and what it said is what is applied now. Not called for an
   * answer that was refused or could not be stored: of that this agent knows nothing.
   */
  readonly onContact?: (agoMs: number) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class DesiredKeeper {
  readonly #options: DesiredKeeperOptions;
  #state: DesiredState | null = null;
  #outlined: { readonly state: DesiredState | null; readonly outline: DesiredOutline } | undefined;
  #source: (BlobSource & { readonly untilMs: number }) | undefined;
  #verifyingKey: string | undefined;
  #doubtedAtMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;
  #isAskedAgain = false;
  /** A hint said that there is another document: its difference is asked for at once. */
  #isHinted = false;
  /** The last difference did not fit: the next question is that of an agent that holds nothing, so that all comes. */
  #wantsWhole = false;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #isStopped = false;

  constructor(options: DesiredKeeperOptions) {
    this.#options = options;
  }

  /** The applied document; null before the first. */
  get state(): DesiredState | null {
    return this.#state;
  }

  /** Proves the tokens that neighbours show (SPKI, PEM); undefined until the control plane has told it once. */
  get verifyingKey(): string | undefined {
    return this.#verifyingKey;
  }

  /** Somebody showed a token of another key: ours may be out of date. */
  keyDoubted(): void {
    if (performance.now() - this.#doubtedAtMs < DOUBT_MS) return;
    this.#doubtedAtMs = performance.now();
    // With the next token comes the key.
    this.#source = undefined;
    void this.fetch();
  }

  get position(): { epoch: number; revision: number } {
    return { epoch: this.#state?.epoch ?? 0, revision: this.#state?.revision ?? 0 };
  }

  async open(): Promise<void> {
    this.#verifyingKey = (await this.#options.keyDocument?.read())?.verifyingKey;
    const stored = await this.#options.document.read();
    if (stored === null || stored.clusterId !== this.#options.clusterId) return;
    this.#state = stored;
    this.#options.apply(stored, null);
  }

  /** Begins the regular fetches. */
  start(): void {
    const again = () => {
      this.#timer = setTimeout(
        () => {
          void this.fetch();
          again();
        },
        REFETCH_MS * (0.75 + Math.random() * 0.5),
      );
    };
    again();
  }

  hinted(hint: { epoch: number; revision: number }): void {
    const { epoch, revision } = this.position;
    if (hint.epoch < epoch) this.#options.metrics.desiredRefused('older-epoch');
    else if (hint.epoch > epoch || hint.revision > revision) {
      this.#isHinted = true;
      void this.fetch();
    }
  }

  /** One fetch at a time; a wish that comes meanwhile is served by one more. Never rejects. */
  fetch(): Promise<void> {
    if (this.#fetching !== undefined) {
      this.#isAskedAgain = true;
      return this.#fetching;
    }
    this.#fetching = this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
      if (!this.#isAskedAgain || this.#isStopped) return;
      this.#isAskedAgain = false;
      void this.fetch();
    });
    return this.#fetching;
  }

  /** Where blobs are; `isRefused` says that the present token is no good. Throws when the centre does not answer. */
  async blobSource(isRefused: boolean): Promise<BlobSource> {
    if (isRefused) this.#source = undefined;
    if (this.#source === undefined || performance.now() > this.#source.untilMs) {
      this.#source = undefined;
      await this.#ask({ needsBlobs: true });
    }
    if (this.#source === undefined) throw new Error('The control plane gave no blob token.');
    return this.#source;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    await this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    try {
      const askedAtMs = performance.now();
      const hasToken = this.#source !== undefined && performance.now() < this.#source.untilMs;
      const needsBlobs = this.#verifyingKey === undefined || !hasToken;
      const withOutline = this.#isHinted;
      this.#isHinted = false;
      let reply = await this.#ask({ needsBlobs, withOutline });
      if (reply.outlineWanted === true) reply = await this.#ask({ needsBlobs: false, withOutline: true });
      const isKnown = await this.#isKnownAfter(reply);
      this.#failures = 0;
      clearTimeout(this.#retry);
      this.#wantsWhole = false;
      if (isKnown) this.#options.onContact?.(performance.now() - askedAtMs);
    } catch (cause) {
      this.#options.log.debug({ reason: messageOf(cause) }, 'desired state not fetched; trying again later');
      this.#tryAgain();
    }
  }

  /** Takes what the reply brings; true when what it says is what is applied now. */
  async #isKnownAfter({ state, unchanged, delta }: DesiredFetchReply): Promise<boolean> {
    if (unchanged === true) return true;
    if (delta !== undefined) return this.#consider(this.#withDelta(delta));
    return state === null ? this.#state === null : this.#consider(state);
  }

  /** @throws Error when the difference does not fit what is here, or makes no document; all is asked for next */
  #withDelta(delta: NonNullable<DesiredFetchReply['delta']>): DesiredState {
    const { clusterId, epoch, revision } = delta;
    this.#wantsWhole = true;
    const versions = applyListDelta(this.#state?.versions ?? [], delta.versions);
    const replicas = applyListDelta(this.#state?.replicas ?? [], delta.replicas);
    const tasks = applyListDelta(this.#state?.tasks ?? [], delta.tasks);
    if (versions === null || replicas === null || tasks === null) {
      this.#options.metrics.desiredRefused('malformed');
      throw new Error('The difference is to a document that is not here.');
    }
    return desiredStateSchema.parse({ clusterId, epoch, revision, versions, replicas, tasks });
  }

  /** Between regular fetches: waits longer each time, up to their interval; never more than one wait at a time. */
  #tryAgain(): void {
    clearTimeout(this.#retry);
    const isRegular = this.#timer !== undefined && !this.#isStopped;
    if (!isRegular) return;
    this.#failures += 1;
    const waitMs = Math.min(REFETCH_MS, retryDelayMs(this.#failures)) * (0.75 + Math.random() * 0.5);
    this.#retry = setTimeout(() => void this.fetch(), waitMs);
  }

  async #ask(how: { needsBlobs: boolean; withOutline?: boolean }): Promise<DesiredFetchReply> {
    const answer = desiredFetchReplySchema.safeParse(await this.#options.request(this.#have(how)));
    if (!answer.success) {
      this.#options.metrics.desiredRefused('malformed');
      throw new Error(`The answer to a fetch is not of the contract: ${answer.error.issues[0]?.path.join('.')}`);
    }
    const { blobs, verification } = answer.data;
    if (blobs !== undefined) {
      const { url, token, expiresInSeconds, verifyingKey } = blobs;
      this.#source = { url, token, untilMs: performance.now() + expiresInSeconds * 1000 * TOKEN_USE };
      if (verifyingKey !== undefined) await this.#keepKey(verifyingKey);
    }
    if (verification !== undefined) this.#options.onVerification?.(verification);
    return answer.data;
  }

  #have({ needsBlobs, withOutline = false }: { needsBlobs: boolean; withOutline?: boolean }): DesiredFetch {
    const { position } = this;
    if (this.#wantsWhole) return position;
    const outline = this.#outline();
    const digest = outlineDigest(position, outline);
    return {
      ...position,
      held: { digest, ...(needsBlobs ? { needsBlobs } : {}), ...(withOutline ? { outline } : {}) },
    };
  }

  /** Of what is applied; hashed once for each document. */
  #outline(): DesiredOutline {
    if (this.#outlined === undefined || this.#outlined.state !== this.#state) {
      const outline = outlineOf(this.#state ?? { versions: [], replicas: [], tasks: [] });
      this.#outlined = { state: this.#state, outline };
    }
    return this.#outlined.outline;
  }

  /** It counts at once; that it could not be stored costs only that a restart without the centre serves no neighbours. */
  async #keepKey(verifyingKey: string): Promise<void> {
    if (verifyingKey === this.#verifyingKey) return;
    this.#verifyingKey = verifyingKey;
    await this.#options.keyDocument
      ?.write({ verifyingKey })
      .catch((cause: unknown) => this.#options.log.warn({ reason: messageOf(cause) }, 'verifying key not stored'));
  }

  /** True when `incoming` is what is applied now. */
  async #consider(incoming: DesiredState): Promise<boolean> {
    const { clusterId, document, apply, log, metrics } = this.#options;
    const verdict = judgeDesired(this.#state ?? { clusterId, epoch: 0, revision: -1 }, incoming);
    const isFuller = verdict === 'same' && this.#state !== null && tellsMore(this.#state, incoming);
    if (verdict === 'same' && !isFuller) return true;
    if (verdict !== 'accepted' && !isFuller) {
      metrics.desiredRefused(verdict);
      log.warn({ verdict, epoch: incoming.epoch, revision: incoming.revision }, 'desired state refused');
      return false;
    }
    if (this.#isStopped) return false;
    try {
      await document.write(incoming as z.output<typeof desiredStateSchema>);
    } catch (cause) {
      // Applied without being on disk, it could be taken back by a restart. The next fetch tries again.
      metrics.desiredRefused('not-stored');
      log.error(
        { revision: incoming.revision, reason: messageOf(cause) },
        'desired state cannot be stored: not applied',
      );
      return false;
    }
    const before = this.#state;
    this.#state = incoming;
    log.info({ epoch: incoming.epoch, revision: incoming.revision }, 'desired state applied');
    apply(incoming, before);
    return true;
  }
}
