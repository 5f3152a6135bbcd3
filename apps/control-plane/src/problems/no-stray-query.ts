// A query that a route does not read is a mistake of its caller: refused, not passed over.

import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyRequest } from 'fastify';
import { invalidFields } from './validation.pipe.ts';

/** For controllers whose routes read their query by a schema, or not at all. A schema refuses what it does not know itself. */
@Injectable()
export class NoStrayQuery implements CanActivate {
  /** @throws RequestError 422 */
  canActivate(context: ExecutionContext): boolean {
    const given = Object.keys(context.switchToHttp().getRequest<FastifyRequest>().query as object);
    if (given.length === 0 || readsQuery(context)) return true;
    throw invalidFields(given.map((field) => ({ field, message: 'is not a known field' })));
  }
}

/** Nest keeps what a handler takes as `<kind>:<index>`. */
function readsQuery(context: ExecutionContext): boolean {
  const taken: object = Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), context.getHandler().name) ?? {};
  return Object.keys(taken).some((each) => each.startsWith(`${RouteParamtypes.QUERY}:`));
}
