import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { HealthRegistry, Registry } from '#telemetry';
import { OpenRoute, RequirePermission } from '../auth/access.ts';

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(
    @Inject(HealthRegistry) private readonly health: HealthRegistry,
    @Inject(Registry) private readonly registry: Registry,
  ) {}

  @Get('healthz')
  @OpenRoute('probes have no key; it says only that the process answers')
  @ApiOperation({ summary: 'Whether the process answers' })
  @ApiResponse({ status: 200, description: 'It does' })
  live() {
    return { status: 'live' };
  }

  @Get('readyz')
  @OpenRoute('probes have no key; it names the checks and what is wrong, and nothing else')
  @ApiOperation({ summary: 'Whether the process can do its work: database and NATS' })
  @ApiResponse({ status: 200, description: 'It can' })
  @ApiResponse({ status: 503, description: 'It cannot, or is stopping' })
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const readiness = await this.health.readiness();
    reply.status(readiness.status === 'ready' ? 200 : 503);
    return readiness;
  }

  @Get('metrics')
  @RequirePermission('metrics:read')
  @ApiOperation({ summary: 'Metrics in the Prometheus text format' })
  @ApiProduces('text/plain')
  @ApiResponse({ status: 200, description: 'Metrics' })
  async metrics(@Res() reply: FastifyReply): Promise<void> {
    await reply.type(this.registry.contentType).send(await this.registry.metrics());
  }
}
