import { type DynamicModule, Module } from '@nestjs/common';
import { ModelsController } from './models/models.controller.ts';
import { RoutesFeed } from './routes/routes-feed.ts';

/** The part of the gateway that Nest routes; the data plane is attached beside it (application.ts). */
@Module({})
class GatewayModule {}

export function gatewayModule(feed: RoutesFeed): DynamicModule {
  return {
    module: GatewayModule,
    controllers: [ModelsController],
    providers: [{ provide: RoutesFeed, useValue: feed }],
  };
}
