/** The last known good routes on disk, so that a gateway that starts without NATS still serves (DESIGN §3.4). */
import { routesViewSchema } from '#contracts';
import type { RoutesView } from '#domain';
import { CheckedFile } from '../state/checked-file.ts';

export class RoutesFile extends CheckedFile<RoutesView> {
  constructor(path: string) {
    super(path, (value) => routesViewSchema.parse(value));
  }
}
