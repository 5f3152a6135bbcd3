/**
 * The gateway's state folder: the last known good routes, so that it serves after a start without NATS (DESIGN §3.4), its
 * leases and the id that it holds them under.
 *
 * One generation of each. Routes from before may hold a key that was revoked since, leases from before what is spent: a
 * damaged file counts as none.
 */
import type { z } from 'zod';
import { StateDocument } from '#files';
import type { Logger } from '#telemetry';

/** `<folder>/<name>.json`. */
export function stateFile<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
  logger: Pick<Logger, 'warn'>,
): StateDocument<Schema> {
  const onDamaged = (file: string, why: string) =>
    logger.warn({ file, why }, 'a state file is damaged; starting without');
  return new StateDocument({ folder, name, schema, generations: 1, onDamaged });
}
