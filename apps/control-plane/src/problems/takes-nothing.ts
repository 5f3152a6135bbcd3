/** Routes that are told everything by their path: what else is sent would be taken for something that it is not. */
import { type CanActivate, type ExecutionContext, Injectable, UseGuards } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type FieldError, fieldName } from './problem.ts';
import { invalidFields } from './validation.pipe.ts';

@Injectable()
class NothingGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { query, body } = context.switchToHttp().getRequest<FastifyRequest>();
    const errors = [...strayIn(query), ...strayIn(body)];
    if (errors.length > 0) throw invalidFields(errors);
    return true;
  }
}

/** 422 for whatever comes as a query or as a body, but for the empty object. */
export const TakesNothing = () => UseGuards(NothingGuard);

function strayIn(given: unknown): FieldError[] {
  if (given === undefined || given === null) return [];
  if (typeof given !== 'object' || Array.isArray(given)) {
    return [{ field: fieldName([]), message: 'must be left out, or be an empty object' }];
  }
  return Object.keys(given).map((name) => ({ field: fieldName([name]), message: 'is not a known field' }));
}
