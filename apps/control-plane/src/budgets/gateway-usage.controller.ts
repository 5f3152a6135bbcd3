/** `atoll.v1.usage`: any control plane may answer. NATS lets only gateways ask. */
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { gatewayUsageSchema, SUBJECTS } from '#contracts';
import { refuse } from '#messaging';
import { FederationMetrics } from '../federation/metrics.ts';
import { GatewayUsageDesk } from './gateway-usage.ts';

@Controller()
export class GatewayUsageController {
  constructor(
    private readonly desk: GatewayUsageDesk,
    private readonly metrics: FederationMetrics,
  ) {}

  @MessagePattern(SUBJECTS.usage, { queue: 'control-plane' })
  async answer(@Payload() value: unknown): Promise<unknown> {
    const request = gatewayUsageSchema.safeParse(value);
    if (!request.success) {
      this.metrics.dropped('usage', 'malformed');
      return refuse('malformed', 'Send the id of the gateway, what was charged, wishes and returns.');
    }
    const reply = await this.desk.answer(request.data);
    this.metrics.taken('usage');
    return reply;
  }
}
