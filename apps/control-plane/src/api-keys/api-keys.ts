// API keys: made, listed, revoked. Nobody hands out, or takes away, more than they have themselves (S4).

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { ApiKeyCreated, ApiKeyDto, createApiKeySchema } from '#contracts';
import { type ApiKey, mayGrant, RefusedError, type Role, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { Authentication } from '../auth/authentication.ts';
import { repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { Secrets } from '../secrets/secrets.ts';

@Injectable()
export class ApiKeys {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly secrets: Secrets,
    private readonly authentication: Authentication,
  ) {}

  async create(
    actor: Actor,
    wanted: z.output<typeof createApiKeySchema>,
    idempotencyKey: string | undefined,
  ): Promise<ApiKeyCreated> {
    demandGrant(actor, wanted.role);
    const request = repeatable(idempotencyKey, wanted);
    return this.mutations.create(actor, 'api-keys.create', request, async (rows) => {
      const { publicId, secretHash, offlineHash, token } = this.secrets.mint('atoll');
      const { name, role, models, expiresInSeconds } = wanted;
      const createdAt = new Date();
      const expiresAt = expiresInSeconds === null ? null : new Date(createdAt.getTime() + expiresInSeconds * 1_000);
      const key: ApiKey = {
        ...{ id: uuidv7(), tenantId: actor.tenantId, name, publicId, secretHash, role, models },
        ...{ offlineHash, expiresAt, revokedAt: null, createdAt },
      };
      await rows.apiKeys.insert(key);
      const detail = { name, publicId, role, models, expiresAt: expiresAt?.toISOString() ?? null };
      return { result: { ...viewKey(key), key: token }, targetKind: 'api-key', targetId: key.id, detail };
    });
  }

  async list(tenantId: string, query: PageQuery): Promise<Page<ApiKeyDto>> {
    const page = await readPage(tenantId, query, (request) => this.store.read.apiKeys.list(request));
    return { ...page, items: page.items.map(viewKey) };
  }

  /** Acts in this process at once, in others with the next change of intent they hear of. */
  async revoke(actor: Actor, id: string): Promise<void> {
    await this.mutations.run(actor, 'api-keys.revoke', async (rows) => {
      const key = await rows.apiKeys.find({ id });
      if (key === null || key.tenantId !== actor.tenantId) throw new RefusedError(refuse.notFound('API key', id));
      demandGrant(actor, key.role);
      if (!(await rows.apiKeys.revoke(id))) throw new RefusedError(refuse.conflict('this key was already revoked'));
      const detail = { name: key.name, publicId: key.publicId };
      return { result: undefined, targetKind: 'api-key', targetId: id, detail };
    });
    this.authentication.forget();
  }
}

function demandGrant(actor: Actor, role: Role): void {
  if (mayGrant(actor.role, role)) return;
  const reason = `a key with the role ${actor.role} may not make or revoke keys with the role ${role}`;
  throw new RefusedError(refuse.forbidden(reason));
}

function viewKey(key: ApiKey): ApiKeyDto {
  const { id, name, publicId, offlineHash, role, models, expiresAt, revokedAt, createdAt } = key;
  return {
    ...{ id, name, publicId, role, models: models === null ? null : [...models] },
    offline: offlineHash !== null,
    expiresAt: expiresAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}
