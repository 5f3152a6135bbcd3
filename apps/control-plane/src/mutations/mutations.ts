// The one place where intent changes: row, outbox (by the work itself), audit entry and stored answer in one transaction.
// What the work throws leaves nothing behind. The work may run again after a deadlock, so it has no other effects.

import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { Secrets } from '../secrets/secrets.ts';

export interface Deed<Result> {
  readonly result: Result;
  readonly targetKind: string;
  readonly targetId: string;
  /** For the audit log: what changed; never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** Null when the caller gave no Idempotency-Key. */
export interface Repeatable {
  readonly key: string;
  /** Everything that makes the request what it is. */
  readonly request: unknown;
}

export type Doer = Pick<Actor, 'tenantId' | 'name'>;

const CREATED = 201;

@Injectable()
export class Mutations {
  constructor(
    private readonly store: Store,
    private readonly secrets: Secrets,
  ) {}

  /** @param action as the audit log names it: `clusters.accept` */
  run<Result>(doer: Doer, action: string, work: (rows: Rows) => Promise<Deed<Result>>): Promise<Result> {
    return this.store.transaction((rows) => this.#perform(rows, doer, action, work));
  }

  /**
   * As `run`, and a repeated key repeats the answer instead of the deed.
   *
   * @throws RefusedError invalid `Idempotency-Key` when the key was used for another request
   */
  create<Result>(
    doer: Doer,
    action: string,
    repeatable: Repeatable | null,
    work: (rows: Rows) => Promise<Deed<Result>>,
  ): Promise<Result> {
    if (repeatable === null) return this.run(doer, action, work);
    const requestHash = hashOf([doer.name, action, repeatable.request]);
    return this.store.transaction(async (rows) => {
      const stored = await rows.idempotency.begin(doer.tenantId, repeatable.key, requestHash);
      if (stored !== null) return this.#repeat<Result>(stored, requestHash);
      const result = await this.#perform(rows, doer, action, work);
      // Sealed, because an answer may show a new secret, and the database must not.
      const body = { sealed: this.secrets.seal(JSON.stringify(result)) };
      await rows.idempotency.finish(doer.tenantId, repeatable.key, CREATED, body);
      return result;
    });
  }

  #repeat<Result>(stored: { requestHash: string; body: unknown }, requestHash: string): Result {
    if (stored.requestHash !== requestHash) {
      const reason = 'was already used for another request; give each creation a key of its own';
      throw new RefusedError(refuse.invalid('Idempotency-Key', reason));
    }
    return JSON.parse(this.secrets.unseal((stored.body as { sealed: string }).sealed));
  }

  async #perform<Result>(
    rows: Rows,
    doer: Doer,
    action: string,
    work: (rows: Rows) => Promise<Deed<Result>>,
  ): Promise<Result> {
    const { result, targetKind, targetId, detail = {} } = await work(rows);
    await rows.audit.add({ tenantId: doer.tenantId, actor: doer.name, action, targetKind, targetId, detail });
    return result;
  }
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
