/**
 * All fetches have one handler, because one wildcard covers them all: `atoll.v1.<cluster>.fetch` for desired documents,
 * and the two reserved tokens `routes` and `gateways`. Who may ask for which, NATS' permissions say.
 */
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { desiredFetchSchema, idSchema, routesFetchSchema, SUBJECTS } from '#contracts';
import { refuse } from '#messaging';
import { clusterTokenOf } from './cluster-token.ts';
import { DesiredFetch } from './desired-fetch.ts';
import { GatewayRegistry } from './gateway-registry.ts';
import { FederationMetrics } from './metrics.ts';
import { RoutesPublisher } from './routes-publisher.ts';

@Controller()
export class FetchController {
  constructor(
    private readonly desired: DesiredFetch,
    private readonly routes: RoutesPublisher,
    private readonly gateways: GatewayRegistry,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.desiredFetch('*'), { queue: 'control-plane' })
  async answer(@Payload() value: unknown, @Ctx() context: unknown): Promise<unknown> {
    switch (clusterTokenOf(context)) {
      case 'gateways':
        return { gateways: this.gateways.current() };
      case 'routes': {
        const asked = routesFetchSchema.safeParse(value ?? { have: 0 });
        return asked.success
          ? this.routes.view(asked.data.have)
          : this.malformed('have: a sequence number, 0 for none');
      }
      default:
        return this.answerDesired(value, clusterTokenOf(context));
    }
  }

  private async answerDesired(value: unknown, token: string): Promise<unknown> {
    const clusterId = idSchema.safeParse(token);
    if (!clusterId.success) return this.malformed('the subject names no cluster id');
    const asked = desiredFetchSchema.safeParse(value);
    if (!asked.success) return this.malformed('revision and epoch: numbers from 0 on');
    const reply = await this.desired.answer(clusterId.data, asked.data);
    if (reply !== null) {
      this.metrics.taken('fetch');
      return reply;
    }
    this.metrics.dropped('fetch', 'not-a-member');
    return refuse('not-a-member', 'This cluster has not joined, waits for approval, or has left.');
  }

  private malformed(advice: string): unknown {
    this.metrics.dropped('fetch', 'malformed');
    return refuse('malformed', advice);
  }
}
