import { RefusedError, refuse } from '#domain';
import type { Written } from '../session.ts';

/** Throws a not-found refusal when a statement that takes the tenant from `what`'s row wrote nothing. */
export function mustHaveWritten(written: Written<unknown>, what: string, id: string): void {
  if (written.affected === 0) throw new RefusedError(refuse.notFound(what, id));
}
