// What a tenant was served, in tokens, by day, key, model and deployment.

import { Injectable } from '@nestjs/common';
import { TOKEN_USAGE_ENTRIES_MAX, type TokenUsageDto } from '#contracts';
import { Store, type TokenUsageSum, utcDay } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { visibleTenant } from '../tenants/visible-tenant.ts';

const DAY_MS = 86_400_000;
const SINCE_DAYS_DEFAULT = 30;

@Injectable()
export class TokenUsageReader {
  constructor(private readonly store: Store) {}

  /** @throws RefusedError not-found for a tenant that the caller does not see */
  async read(actor: Actor, tenantName: string | undefined, since: string | undefined): Promise<TokenUsageDto> {
    const { read } = this.store;
    const tenant = await visibleTenant(read, actor, tenantName);
    const day = since ?? utcDay(Date.now() - SINCE_DAYS_DEFAULT * DAY_MS);
    const filter = { tenantId: tenant.id, since: day };
    const sums = await read.tokenUsage.since(filter, TOKEN_USAGE_ENTRIES_MAX + 1);
    const entries = sums.slice(0, TOKEN_USAGE_ENTRIES_MAX).map(viewEntry);
    const total = entries.reduce((before, entry) => addSums(before, entry), NOTHING);
    return { tenant: tenant.name, since: day, entries, total, isCut: sums.length > TOKEN_USAGE_ENTRIES_MAX };
  }
}

const NOTHING: TokenUsageDto['total'] = { requests: 0, promptTokens: 0, completionTokens: 0, estimatedRequests: 0 };

function viewEntry({ day, keyPublicId, servedModel, deployment, ...sums }: TokenUsageSum): TokenUsageDto['entries'][0] {
  return { day, key: keyPublicId, model: servedModel, deployment, ...sums };
}

function addSums(left: TokenUsageDto['total'], right: TokenUsageDto['total']): TokenUsageDto['total'] {
  return {
    requests: left.requests + right.requests,
    promptTokens: left.promptTokens + right.promptTokens,
    completionTokens: left.completionTokens + right.completionTokens,
    estimatedRequests: left.estimatedRequests + right.estimatedRequests,
  };
}
