import { Controller, Get, HttpException, Param, Req } from '@nestjs/common';
import type { RouteKey } from '#domain';
import { modelList, modelNotFound, modelObject } from '#inference';
import { RoutesFeed } from '../routes/routes-feed.ts';

/** A request that the listener's guard has let through. */
interface AuthenticatedRequest {
  readonly raw: { routeKey?: RouteKey };
}

/** `GET /v1/models`, as OpenAI clients expect it. */
@Controller('v1/models')
export class ModelsController {
  constructor(private readonly feed: RoutesFeed) {}

  @Get()
  list(@Req() request: AuthenticatedRequest) {
    return modelList(this.modelsFor(request));
  }

  @Get(':model')
  one(@Req() request: AuthenticatedRequest, @Param('model') model: string) {
    const models = this.modelsFor(request);
    const found = models.find((candidate) => candidate.id === model);
    if (found !== undefined) return modelObject(found);
    const error = modelNotFound(
      model,
      models.map((candidate) => candidate.id),
    );
    throw new HttpException(error.body, error.status);
  }

  private modelsFor(request: AuthenticatedRequest) {
    return this.feed.table.modelsFor(request.raw.routeKey!);
  }
}
