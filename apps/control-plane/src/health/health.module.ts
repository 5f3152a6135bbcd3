import { type DynamicModule, Module } from '@nestjs/common';
import { HealthRegistry, Registry } from '#telemetry';
import { HealthController } from './health.controller.ts';

@Module({})
class HealthModule {}

export function healthModule(health: HealthRegistry, registry: Registry): DynamicModule {
  const providers = [
    { provide: HealthRegistry, useValue: health },
    { provide: Registry, useValue: registry },
  ];
  return { module: HealthModule, controllers: [HealthController], providers };
}
