/** `atoll.v1.<cluster>.sync`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { SUBJECTS, type SyncPlanRequest, syncPlanRequestSchema } from '#contracts';
import { type PlanRefusal, SyncPlans } from '../sync/sync-plans.ts';
import { converse, NOT_A_MEMBER } from './cluster-conversation.ts';
import { FederationMetrics } from './metrics.ts';

const ADVICE: Readonly<Record<PlanRefusal | 'malformed', string>> = {
  malformed: 'Send versionDigest, held, avoid, avoidNeighbours and measures, on the subject of the own cluster id.',
  'not-a-member': NOT_A_MEMBER,
  'not-wanted': 'The desired document of this cluster does not name that version; fetch it again.',
  'no-way': 'Nobody can give that version now; ask again later.',
};

@Controller()
export class SyncPlanController {
  private readonly conversation = {
    name: 'sync',
    schema: syncPlanRequestSchema,
    advice: ADVICE,
    answer: (clusterId: string, request: SyncPlanRequest) => this.plans.answer(clusterId, request),
  } as const;

  constructor(
    private readonly plans: SyncPlans,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.syncPlan('*'), { queue: 'control-plane' })
  answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    return converse(this.conversation, value, context, this.metrics);
  }
}
