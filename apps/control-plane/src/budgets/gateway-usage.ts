/** What gateways charged and which leases they hold. A telling and its inbox row are one transaction, so it counts once. */
import { Injectable } from '@nestjs/common';
import type { GatewayUsage, GatewayUsageReply } from '#contracts';
import { DEFAULT_TENANT_ID, Store } from '#domain';
import { takeUsage } from '../federation/usage-effects.ts';
import { Leases } from './leases.ts';

@Injectable()
export class GatewayUsageDesk {
  constructor(
    private readonly store: Store,
    private readonly leases: Leases,
  ) {}

  /** Usage first, so that what is told of a lease stands when it is given back in the same breath. */
  async answer({ gatewayId, told, wishes, returns }: GatewayUsage): Promise<GatewayUsageReply> {
    for (const telling of told) await this.take(gatewayId, telling);
    const taken = told.map(({ id }) => id);
    if (wishes.length + returns.length === 0) return { grants: [], refusals: [], ended: [], taken };
    const answer = await this.leases.answer({ kind: 'gateway', id: gatewayId }, { wishes, returns });
    return { ...GatewayUsageDesk.listsOf(answer!), taken };
  }

  private take(gatewayId: string, telling: GatewayUsage['told'][number]): Promise<void> {
    const teller = {
      holder: { kind: 'gateway', id: gatewayId },
      name: gatewayId,
      tenantId: DEFAULT_TENANT_ID,
    } as const;
    return this.store.transaction(async (rows) => {
      if (await rows.leases.acceptTold(gatewayId, telling.id)) await takeUsage(rows, teller, telling);
    });
  }

  private static listsOf({ grants, refusals, ended }: NonNullable<Awaited<ReturnType<Leases['answer']>>>) {
    return { grants: [...grants], refusals: [...refusals], ended: [...ended] };
  }
}
