import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { type OpenAiError, openAiError } from '#inference';

/** Whatever Nest throws leaves as an OpenAI error body. */
@Catch()
export class OpenAiErrorFilter implements ExceptionFilter {
  constructor(private readonly onUnexpected: (error: unknown) => void) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const error = this.translate(thrown);
    reply.status(error.status).send(error.body);
  }

  private translate(thrown: unknown): Pick<OpenAiError, 'status' | 'body'> {
    if (thrown instanceof HttpException) {
      const status = thrown.getStatus();
      const body = thrown.getResponse();
      if (isErrorBody(body)) return { status, body };
      if (status === 404) return openAiError('route_not_found');
      return { status, body: openAiError('invalid_request', { message: thrown.message }).body };
    }
    this.onUnexpected(thrown);
    return openAiError('internal_error');
  }
}

function isErrorBody(body: unknown): body is OpenAiError['body'] {
  return typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'object';
}
