/** `atoll.v1.<cluster>.lease`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { idSchema, leaseRequestSchema, SUBJECTS } from '#contracts';
import { refuse } from '#messaging';
import { clusterTokenOf } from '../federation/cluster-token.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { Leases } from './leases.ts';

const ADVICE = {
  malformed: 'Send wishes and returns, on the subject of the own cluster id.',
  'not-a-member': 'This cluster has not joined, waits for approval, or has left.',
} as const;

@Controller()
export class LeaseController {
  constructor(
    private readonly leases: Leases,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.lease('*'), { queue: 'control-plane' })
  async answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    const clusterId = idSchema.safeParse(clusterTokenOf(context));
    const request = leaseRequestSchema.safeParse(value);
    if (!clusterId.success || !request.success) return this.refuse('malformed');
    const reply = await this.leases.answer({ kind: 'cluster', id: clusterId.data }, request.data);
    if (reply === null) return this.refuse('not-a-member');
    this.metrics.taken('lease');
    return reply;
  }

  private refuse(reason: keyof typeof ADVICE): unknown {
    this.metrics.dropped('lease', reason);
    return refuse(reason, ADVICE[reason]);
  }
}
