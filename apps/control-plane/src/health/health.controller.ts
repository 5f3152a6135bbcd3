import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { HealthRegistry, Registry } from '#telemetry';
import { OpenRoute, RequirePermission } from '../auth/access.ts';
import { TextAnswer } from '../openapi/answers.ts';

const livenessSchema = z.object({ status: z.literal('live') });
const readinessSchema = z.object({
  status: z.enum(['ready', 'not-ready', 'stopping']),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), reason: z.string(), sinceSeconds: z.number() })),
});

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
  @ApiResponse({ status: 200, description: 'It does', standardSchema: livenessSchema })
  live() {
    return { status: 'live' };
  }

  @Get('readyz')
  @OpenRoute('probes have no key; it names the checks and what is wrong, and nothing else')
  @ApiOperation({ summary: 'Whether the process can do its work: database and NATS' })
  @ApiResponse({ status: 200, description: 'It can', standardSchema: readinessSchema })
  @ApiResponse({ status: 503, description: 'It cannot, or is stopping', standardSchema: readinessSchema })
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const readiness = await this.health.readiness();
    reply.status(readiness.status === 'ready' ? 200 : 503);
    return readiness;
  }

  @Get('metrics')
  @RequirePermission('metrics:read')
  @ApiOperation({ summary: 'Metrics in the Prometheus text format' })
  @TextAnswer('Metrics')
  async metrics(@Res() reply: FastifyReply): Promise<void> {
    await reply.type(this.registry.contentType).send(await this.registry.metrics());
  }
}
