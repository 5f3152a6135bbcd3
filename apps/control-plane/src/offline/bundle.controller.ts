/** `atoll.v1.<cluster>.bundle`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { type BundleFetch, bundleFetchSchema, SUBJECTS } from '#contracts';
import { converse, NOT_A_MEMBER } from '../federation/cluster-conversation.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { type BundleRefusal, Bundles } from './bundles.ts';

const ADVICE: Readonly<Record<BundleRefusal | 'malformed', string>> = {
  malformed: 'Send have: the SHA-256 of the text that is there or null, on the subject of the own cluster id.',
  'not-a-member': NOT_A_MEMBER,
  'too-large':
    'The tenants that are served there have more keys than a bundle can carry; revoke those that are not used.',
};

@Controller()
export class BundleController {
  private readonly conversation = {
    name: 'bundle',
    schema: bundleFetchSchema,
    advice: ADVICE,
    answer: (clusterId: string, { have }: BundleFetch) => this.bundles.answer(clusterId, have),
  } as const;

  constructor(
    private readonly bundles: Bundles,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.bundle('*'), { queue: 'control-plane' })
  answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    return converse(this.conversation, value, context, this.metrics);
  }
}
