import { type TokenUsageFilter, TokenUsageRows, type TokenUsageSum } from '#domain';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresTokenUsageRows extends TokenUsageRows {
  constructor(private readonly session: Session) {
    super();
  }

  async since({ tenantId, since }: TokenUsageFilter, limit: number): Promise<TokenUsageSum[]> {
    return isId(tenantId) ? this.session.rows<TokenUsageSum>(SINCE, [tenantId, since, limit]) : [];
  }

  async removeBefore(day: string): Promise<number> {
    return (await this.session.write('DELETE FROM token_usage WHERE day < $1::date', [day])).affected;
  }
}

const SINCE = `
  SELECT used.day::text AS day, used.key_public_id AS "keyPublicId", used.served_model AS "servedModel",
    coalesce(deployment.name, used.deployment_id::text) AS deployment,
    sum(requests)::double precision AS requests,
    sum(prompt_tokens)::double precision AS "promptTokens",
    sum(completion_tokens)::double precision AS "completionTokens",
    sum(estimated_requests)::double precision AS "estimatedRequests"
  FROM token_usage used
  LEFT JOIN deployments deployment ON deployment.id = used.deployment_id AND deployment.tenant_id = used.tenant_id
  WHERE used.tenant_id = $1 AND used.day >= $2::date
  GROUP BY used.day, used.key_public_id, used.served_model, coalesce(deployment.name, used.deployment_id::text)
  ORDER BY used.day DESC, used.key_public_id, used.served_model, deployment LIMIT $3`;
