/**
 * Brings the list of revoked users to NATS, which cuts their connections at once.
 *
 * Level-triggered: the whole list is read from Postgres and pushed at start, whenever `request` is called, after every
 * reconnect (the server may have forgotten), and looked at once a minute in case the process that revoked died before
 * it could push. A push that fails is tried again until it succeeds, and at once when somebody asks.
 *
 * A key that was revoked never gets credentials again, so its revocation is dated behind every JWT that it can hold: the
 * clock that issued them may be ahead of Postgres' (R22).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { USER_JWT_SECONDS } from '#contracts';
import { Store } from '#domain';
import { pushAccountJwt, revokeUsers } from '#messaging';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';

const LOOK_INTERVAL_MS = 60_000;
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;

@Injectable()
export class AccountClaimsPusher {
  /** The first pause; each later one is twice as long. */
  protected readonly retryMs: number = RETRY_MS;
  private readonly logger = new Logger('claims');
  private readonly stopping = new AbortController();
  private pushed: string | null = null;
  private pushing: Promise<void> | null = null;
  private isAskedAgain = false;
  private retryNow: (() => void) | null = null;
  private stopListening: (() => void) | null = null;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
  ) {}

  onApplicationBootstrap(): void {
    this.stopListening = this.nats.onStatus((who, status) => {
      if (who !== 'system' || status.state !== 'connected') return;
      this.pushed = null;
      void this.request();
    });
    this.timer = setInterval(() => void this.request(), LOOK_INTERVAL_MS);
    this.timer.unref();
    void this.request();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    this.stopListening?.();
    if (this.timer !== null) clearInterval(this.timer);
    await this.pushing;
  }

  /** Call after a revocation was committed. Resolves once NATS has the list, or at shutdown. Never rejects. */
  request(): Promise<void> {
    if (this.pushing !== null) {
      this.isAskedAgain = true;
      this.retryNow?.();
      return this.pushing;
    }
    this.pushing = this.pushUntilDone().finally(() => {
      this.pushing = null;
    });
    return this.pushing;
  }

  private async pushUntilDone(): Promise<void> {
    const { signal } = this.stopping;
    for (let waitMs = this.retryMs; !signal.aborted; ) {
      this.isAskedAgain = false;
      try {
        await this.pushOnce();
        if (!this.isAskedAgain) return;
      } catch (error) {
        this.logger.warn(`revocations are not at NATS yet: ${error instanceof Error ? error.message : String(error)}`);
        await this.waitOrAsked(waitMs);
        waitMs = Math.min(RETRY_MS_MAX, waitMs * 2);
      }
    }
  }

  /** NATS that has just come back must not wait for the rest of a long pause. */
  private async waitOrAsked(waitMs: number): Promise<void> {
    if (this.isAskedAgain) return;
    const asked = new AbortController();
    this.retryNow = () => asked.abort();
    const signal = AbortSignal.any([this.stopping.signal, asked.signal]);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
    this.retryNow = null;
  }

  private async pushOnce(): Promise<void> {
    const revoked = await this.store.read.revocations.all();
    const list = JSON.stringify(revoked.sort((left, right) => (left.publicKey < right.publicKey ? -1 : 1)));
    if (list === this.pushed) return;
    const { operator, atollAccount } = this.nats.operator;
    const jwt = await revokeUsers(
      { operatorSeed: operator.seed, accountPublicKey: atollAccount.publicKey },
      revoked.map(({ publicKey, revokedAtSeconds }) => ({
        userPublicKey: publicKey,
        revokedAtSeconds: revokedAtSeconds + USER_JWT_SECONDS,
      })),
    );
    await pushAccountJwt(this.nats.systemConnection, jwt);
    this.pushed = list;
  }
}
