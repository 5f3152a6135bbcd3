/** `atoll.v1.<cluster>.bundle`: any control plane may answer. Who asks is what the subject says, which NATS keeps true. */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { bundleFetchSchema, idSchema, SUBJECTS } from '#contracts';
import { refuse } from '#messaging';
import { clusterTokenOf } from '../federation/cluster-token.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { type BundleRefusal, Bundles } from './bundles.ts';

const ADVICE: Readonly<Record<BundleRefusal | 'malformed', string>> = {
  malformed: 'Send have: the SHA-256 of the text that is there or null, on the subject of the own cluster id.',
  'not-a-member': 'This cluster has not joined, waits for approval, or has left.',
  'too-large':
    'The tenants that are served there have more keys than a bundle can carry; revoke those that are not used.',
};

@Controller()
export class BundleController {
  constructor(
    private readonly bundles: Bundles,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.bundle('*'), { queue: 'control-plane' })
  async answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    const clusterId = idSchema.safeParse(clusterTokenOf(context));
    const request = bundleFetchSchema.safeParse(value);
    if (!clusterId.success || !request.success) return this.refuse('malformed');
    const reply = await this.bundles.answer(clusterId.data, request.data.have);
    if (typeof reply === 'string') return this.refuse(reply);
    this.metrics.taken('bundle');
    return reply;
  }

  private refuse(reason: keyof typeof ADVICE): unknown {
    this.metrics.dropped('bundle', reason);
    return refuse(reason, ADVICE[reason]);
  }
}
