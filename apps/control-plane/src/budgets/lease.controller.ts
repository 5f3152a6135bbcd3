/** `atoll.v1.<cluster>.lease`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { type LeaseRequest, leaseRequestSchema, SUBJECTS } from '#contracts';
import { converse, NOT_A_MEMBER } from '../federation/cluster-conversation.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { Leases } from './leases.ts';

const ADVICE = {
  malformed: 'Send wishes and returns, on the subject of the own cluster id.',
  'not-a-member': NOT_A_MEMBER,
} as const;

@Controller()
export class LeaseController {
  private readonly conversation = {
    name: 'lease',
    schema: leaseRequestSchema,
    advice: ADVICE,
    answer: async (id: string, request: LeaseRequest) =>
      (await this.leases.answer({ kind: 'cluster', id }, request)) ?? 'not-a-member',
  } as const;

  constructor(
    private readonly leases: Leases,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.lease('*'), { queue: 'control-plane' })
  answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    return converse(this.conversation, value, context, this.metrics);
  }
}
