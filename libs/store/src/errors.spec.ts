import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { RefusedError } from '#domain';
import {
  ConflictError,
  StoreContentionError,
  StoreTimeoutError,
  StoreUnreachableError,
  translateError,
} from './errors.ts';

function driverError(fields: { code?: string; message?: string; constraint?: string }): Error {
  return new QueryFailedError('SELECT', [], Object.assign(new Error(fields.message ?? 'as it was'), fields));
}

describe('a low-level error', () => {
  it.each([
    { name: 'refused connection', error: driverError({ code: 'ECONNREFUSED' }), want: StoreUnreachableError },
    { name: 'server shutting down', error: driverError({ code: '57P01' }), want: StoreUnreachableError },
    { name: 'too many connections', error: driverError({ code: '53300' }), want: StoreUnreachableError },
    {
      name: 'connection lost, in words only',
      error: driverError({ message: 'Connection terminated unexpectedly' }),
      want: StoreUnreachableError,
    },
    { name: 'statement timeout', error: driverError({ code: '57014' }), want: StoreTimeoutError },
    { name: 'lock timeout', error: driverError({ code: '55P03' }), want: StoreTimeoutError },
    { name: 'deadlock', error: driverError({ code: '40P01' }), want: StoreContentionError },
    { name: 'serialization failure', error: driverError({ code: '40001' }), want: StoreContentionError },
    {
      name: 'unique key',
      error: driverError({ code: '23505', constraint: 'models_name_unique' }),
      want: ConflictError,
    },
    { name: 'foreign key', error: driverError({ code: '23503', constraint: 'unheard_of' }), want: RefusedError },
    { name: 'text that cannot be stored', error: driverError({ code: '22021' }), want: RefusedError },
  ])('$name becomes advice', ({ error, want }) => {
    expect(translateError(error)).toBeInstanceOf(want);
  });

  it('keeps what it was as the cause', () => {
    const error = driverError({ code: '40P01' });
    expect((translateError(error) as Error).cause).toBe(error);
  });

  it('that is none of these stays itself', () => {
    const mistake = new TypeError('x is not a function');
    expect(translateError(mistake)).toBe(mistake);
  });

  it('is translated once', () => {
    const once = translateError(driverError({ message: 'Connection terminated unexpectedly' }));
    expect(translateError(once)).toBe(once);
  });
});
