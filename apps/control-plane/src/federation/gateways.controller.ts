import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { gatewaySchema, SUBJECTS } from '#contracts';
import { GatewayRegistry } from './gateway-registry.ts';
import { FederationMetrics } from './metrics.ts';

@Controller()
export class GatewaysController {
  constructor(
    private readonly registry: GatewayRegistry,
    private readonly metrics: FederationMetrics,
  ) {}

  @EventPattern(SUBJECTS.gateways)
  announce(@Payload() value: unknown): void {
    const parsed = gatewaySchema.safeParse(value);
    if (!parsed.success) {
      this.metrics.dropped('gateways', 'malformed');
      return;
    }
    this.registry.announce(parsed.data);
    this.metrics.taken('gateways');
  }
}
