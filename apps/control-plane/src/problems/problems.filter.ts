// The one place where whatever was thrown becomes an answer. What is not expected says only the request's id.

import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RefusedError } from '#domain';
import { StoreContentionError, StoreTimeoutError, StoreUnreachableError } from '#store';
import { RequestError } from '../errors.ts';
import { type ProblemParts, refusalProblem, sendProblem } from './problem.ts';

const DATABASE_TROUBLE = [StoreUnreachableError, StoreTimeoutError, StoreContentionError];

const DETAILS: Readonly<Record<number, string>> = {
  400: 'The body is not well-formed JSON, or the request line or a header cannot be read.',
  404: 'There is nothing at this path; /api/openapi.json lists what is there.',
  413: 'The body is larger than this route takes.',
  415: 'Send application/json; uploads are application/octet-stream.',
};

@Catch()
export class ProblemsFilter implements ExceptionFilter {
  private readonly logger = new Logger('http');

  catch(exception: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const parts = partsOf(exception);
    if (parts.status >= 500) this.#log(exception, request);
    if (reply.sent || reply.raw.headersSent) {
      // An answer has begun: cutting it is the only honest way to say that it is not whole.
      reply.raw.destroy();
      return;
    }
    sendProblem(request, reply, parts);
  }

  #log(exception: unknown, request: FastifyRequest): void {
    const text = exception instanceof Error ? (exception.stack ?? exception.message) : String(exception);
    this.logger.error(`request ${request.id} ${request.method} ${request.routeOptions.url ?? ''}: ${text}`);
  }
}

function partsOf(exception: unknown): ProblemParts {
  if (exception instanceof RefusedError) return refusalProblem(exception.refusal);
  if (exception instanceof RequestError) {
    const { status, code, message, headers, errors, extension } = exception;
    return { status, code, detail: message, headers, errors, extension };
  }
  if (DATABASE_TROUBLE.some((kind) => exception instanceof kind)) {
    const detail = 'The database cannot be reached or is too busy; nothing is known to be changed. Try again.';
    return { status: 503, detail, headers: { 'retry-after': '2' } };
  }
  const status = statusOf(exception);
  if (status >= 500 && status !== 503) {
    return { status: 500, detail: 'It is logged with the id in "instance"; nothing was changed.' };
  }
  return { status, detail: DETAILS[status] ?? 'The request was refused.' };
}

/** Nest's and Fastify's own refusals carry a status; everything else is a 500. */
function statusOf(exception: unknown): number {
  if (exception instanceof HttpException) return exception.getStatus();
  const status = (exception as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
}
