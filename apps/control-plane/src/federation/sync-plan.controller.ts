/** `atoll.v1.<cluster>.sync`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { idSchema, SUBJECTS, syncPlanRequestSchema } from '#contracts';
import { refuse } from '#messaging';
import { type PlanRefusal, SyncPlans } from '../sync/sync-plans.ts';
import { clusterTokenOf } from './cluster-token.ts';
import { FederationMetrics } from './metrics.ts';

const ADVICE: Readonly<Record<PlanRefusal | 'malformed', string>> = {
  malformed: 'Send versionDigest, held, avoid, avoidNeighbours and measures, on the subject of the own cluster id.',
  'not-a-member': 'This cluster has not joined, waits for approval, or has left.',
  'not-wanted': 'The desired document of this cluster does not name that version; fetch it again.',
  'no-way': 'Nobody can give that version now; ask again later.',
};

@Controller()
export class SyncPlanController {
  constructor(
    private readonly plans: SyncPlans,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.syncPlan('*'), { queue: 'control-plane' })
  async answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    const clusterId = idSchema.safeParse(clusterTokenOf(context));
    const request = syncPlanRequestSchema.safeParse(value);
    if (!clusterId.success || !request.success) return this.refuse('malformed');
    const reply = await this.plans.answer(clusterId.data, request.data);
    if (typeof reply === 'string') return this.refuse(reply);
    this.metrics.taken('sync');
    return reply;
  }

  private refuse(reason: PlanRefusal | 'malformed'): unknown {
    this.metrics.dropped('sync', reason);
    return refuse(reason, ADVICE[reason]);
  }
}
