// The cluster's credentials from first join to removal.
//
// Kept on disk, so that a restart needs nobody. Renewed at half of their life by the monotonic clock; by the wall clock
// only once, at start, where it can only make the renewal earlier (R22). An expired JWT does not stop a renewal, for it
// is the key that is proven. Silence and errors of the centre are waited out; only its explicit word ends membership.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { type JoinReply, joinReplySchema } from '#contracts';
import { retryDelayMs } from '#domain';
import type { StateDocument } from '#files';
import { ClusterRemovedError, ControlPlaneProblemError, JoinRefusedError, messageOf } from '../errors.ts';
import type { AgentIdentity } from '../state/identity.ts';
import type { ControlPlaneClient } from './control-plane-client.ts';

export const membershipSchema = z.object({
  clusterId: joinReplySchema.shape.clusterId,
  clusterName: joinReplySchema.shape.clusterName,
  jwt: z.string(),
  natsServers: z.array(z.string()).min(1),
  account: z.string(),
  expiresInSeconds: z.int().min(1),
  /** Unix milliseconds by this machine's clock; a hint only. */
  obtainedAtMs: z.number(),
  /** The centre ended the membership: a restart serves nothing before the centre says otherwise. */
  isRemoved: z.boolean().optional(),
});
/** What the agent is, as far as it was told. */
export type Membership = z.infer<typeof membershipSchema>;

const PENDING_SECONDS_MAX = 60;
const RENEWAL_GAP_MS_MIN = 5_000;

export interface CredentialKeeperOptions {
  readonly client: Pick<ControlPlaneClient, 'join' | 'credentials'>;
  readonly document: Pick<StateDocument<typeof membershipSchema>, 'read' | 'write'>;
  readonly identity: AgentIdentity;
  readonly joinToken: (() => string) | undefined;
  readonly log: Logger;
  readonly onRenewed?: (membership: Membership) => void;
  /** Shortest time between two renewals. Default 5 s. */
  readonly renewalGapMs?: number;
  /** The centre said that the cluster is no member any more; called once. */
  readonly onRemoved: (error: ClusterRemovedError) => void;
}

export class CredentialKeeper {
  readonly #options: CredentialKeeperOptions;
  #membership: Membership | undefined;
  #obtainedAtMs = 0;
  #isRenewalWanted = false;
  #renewNow: (() => void) | undefined;

  constructor(options: CredentialKeeperOptions) {
    this.#options = options;
  }

  /** Throws before `open` resolved. */
  get membership(): Membership {
    if (this.#membership === undefined) throw new Error('The cluster has not joined yet.');
    return this.#membership;
  }

  /**
   * From disk, else (also when the membership was ended) by asking and joining, however long that takes.
   * @throws JoinRefusedError, ClusterRemovedError; whatever `signal` was aborted with
   */
  async open(signal: AbortSignal): Promise<Membership> {
    const stored = await this.#options.document.read();
    if (stored !== null && stored.isRemoved !== true) {
      this.#membership = stored;
      const ageMs = Date.now() - stored.obtainedAtMs;
      const halfLifeMs = stored.expiresInSeconds * 500;
      // An age that the clock cannot tell counts as old.
      this.#obtainedAtMs = performance.now() - (ageMs >= 0 ? Math.min(ageMs, halfLifeMs) : halfLifeMs);
      return stored;
    }
    await this.#take(await this.#joinUntilAnswered(signal), signal);
    return this.membership;
  }

  /** Renews for as long as `signal` lets it. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const dueMs = this.#obtainedAtMs + this.membership.expiresInSeconds * 500 - performance.now();
      const waitMs = failures === 0 ? Math.max(0, dueMs) : retryDelayMs(failures) * (0.5 + Math.random());
      if (!this.#isRenewalWanted) await this.#waitOrPoke(waitMs, signal);
      if (signal.aborted) return;
      this.#isRenewalWanted = false;
      try {
        await this.#take(await this.#options.client.credentials(signal), signal);
        failures = 0;
        this.#options.log.info('credentials renewed');
        await delay(this.#options.renewalGapMs ?? RENEWAL_GAP_MS_MIN, undefined, { signal }).catch(() => undefined);
      } catch (cause) {
        if (signal.aborted) return;
        const removed = asRemoval(cause);
        if (removed !== undefined) return this.#remember(removed);
        failures += 1;
        this.#options.log.warn(
          { failures, reason: messageOf(cause) },
          'credentials could not be renewed; trying again',
        );
      }
    }
  }

  /** NATS refused the present JWT: renew without waiting for half-life. A wish in the middle of a renewal is kept. */
  renewSoon(): void {
    this.#isRenewalWanted = true;
    this.#renewNow?.();
  }

  async #remember(removed: ClusterRemovedError): Promise<void> {
    await this.#options.document.write({ ...this.membership, isRemoved: true }).catch((cause: unknown) => {
      this.#options.log.error(
        { reason: messageOf(cause) },
        'the removal is not stored; a restart has to hear it again',
      );
    });
    this.#options.onRemoved(removed);
  }

  async #waitOrPoke(waitMs: number, signal: AbortSignal): Promise<void> {
    const poke = new AbortController();
    this.#renewNow = () => poke.abort();
    // Timers hold at most 2^31 - 1 ms.
    await delay(Math.min(waitMs, 2_147_483_647), undefined, { signal: AbortSignal.any([signal, poke.signal]) }).catch(
      () => undefined,
    );
    this.#renewNow = undefined;
  }

  /** First answer of the centre, whatever the network does in between. */
  async #joinUntilAnswered(signal: AbortSignal): Promise<JoinReply> {
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        return await this.#joinOnce(signal);
      } catch (cause) {
        signal.throwIfAborted();
        if (cause instanceof JoinRefusedError || cause instanceof ClusterRemovedError) throw cause;
        this.#options.log.warn(
          { attempt, reason: messageOf(cause) },
          'the control plane cannot be asked to join; trying again',
        );
        await delay(Math.min(10_000, retryDelayMs(attempt)) * (0.5 + Math.random()), undefined, { signal });
      }
    }
  }

  /** A key that is not new may be known already: its answer was lost, or its documents were. */
  async #joinOnce(signal: AbortSignal): Promise<JoinReply> {
    const { client, identity, joinToken } = this.#options;
    if (identity.isOld || joinToken === undefined) {
      const known = await client.credentials(signal).catch((cause: unknown) => refusalOf(cause));
      if (!(known instanceof ControlPlaneProblemError)) return known;
      const removed = asRemoval(known);
      if (removed !== undefined && joinToken === undefined) throw removed;
      if (joinToken === undefined) {
        throw new JoinRefusedError('This agent has not joined and has no join token. Make one and set joinTokenFile.');
      }
    }
    const reply = await client.join(joinToken(), signal).catch((cause: unknown) => refusalOf(cause));
    if (!(reply instanceof ControlPlaneProblemError)) return reply;
    // The token may have been spent by this very key, in an attempt whose answer was lost.
    const known = await client.credentials(signal).catch((cause: unknown) => refusalOf(cause));
    if (!(known instanceof ControlPlaneProblemError)) return known;
    const removed = asRemoval(known);
    if (removed !== undefined) throw removed;
    throw new JoinRefusedError(`The control plane refused the join: ${reply.message}`);
  }

  async #take(first: JoinReply, signal: AbortSignal): Promise<void> {
    let reply = first;
    while (reply.credentials === null) {
      if (reply.phase === 'Left') throw removedError(reply.clusterName);
      const waitSeconds = Math.min(reply.retryAfterSeconds ?? 5, PENDING_SECONDS_MAX);
      this.#options.log.info({ cluster: reply.clusterName, phase: reply.phase, waitSeconds }, 'waiting to be accepted');
      await delay(waitSeconds * 1000, undefined, { signal });
      reply = await this.#options.client.credentials(signal).catch((cause: unknown) => {
        const removed = asRemoval(cause);
        if (removed !== undefined) throw removed;
        signal.throwIfAborted();
        this.#options.log.warn({ reason: messageOf(cause) }, 'the control plane does not answer; still waiting');
        return reply;
      });
    }
    const { jwt, natsServers, account, expiresInSeconds } = reply.credentials;
    const { clusterId, clusterName } = reply;
    const membership = {
      clusterId,
      clusterName,
      jwt,
      natsServers,
      account,
      expiresInSeconds,
      obtainedAtMs: Date.now(),
    };
    this.#obtainedAtMs = performance.now();
    this.#membership = membership;
    this.#options.onRenewed?.(membership);
    // Valid also where the disk is full: what is lost is that a restart needs nobody.
    await this.#options.document.write(membership).catch((cause: unknown) => {
      this.#options.log.error({ reason: messageOf(cause) }, 'credentials not stored; a restart has to ask for them');
    });
  }
}

function removedError(name: string): ClusterRemovedError {
  return new ClusterRemovedError(
    `The cluster ${name} was removed from the fleet: engines stop and this agent ends. To join again, use an empty state folder and a new join token.`,
  );
}

/** A removal is said in so many words; anything else may be a mistake of the moment. */
function asRemoval(cause: unknown): ClusterRemovedError | undefined {
  if (cause instanceof ClusterRemovedError) return cause;
  if (!(cause instanceof ControlPlaneProblemError)) return undefined;
  // A database that was restored from before the join knows nothing of us; that is not the word either (R20).
  const isSaid =
    cause.status === 410 ||
    cause.code === 'cluster-removed' ||
    (cause.status === 403 && /\bwas removed\b/.test(cause.message));
  return isSaid
    ? new ClusterRemovedError(`${removedError('').message} The control plane said: ${cause.message}`)
    : undefined;
}

/** Passes a final "no"; throws what may be better next time. */
function refusalOf(cause: unknown): ControlPlaneProblemError {
  const isFinal =
    cause instanceof ControlPlaneProblemError && cause.status < 500 && cause.status !== 429 && cause.status !== 408;
  if (isFinal) return cause;
  throw cause;
}
