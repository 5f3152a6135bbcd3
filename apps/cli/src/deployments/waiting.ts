// Waiting for a deployment: says what is missing all the while, and gives up at a stated time.
import { setTimeout as delay } from 'node:timers/promises';
import { type AdminClient, type DeploymentDto, ProblemError } from '#contracts';
import { FailedError } from '../errors.ts';
import { LiveLine } from '../output/live-line.ts';
import { formatSeconds } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { phaseOf } from './views.ts';

export interface Waiting {
  readonly terminal: Terminal;
  readonly timeoutSeconds: number;
  /** Between two looks; default 500. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 500;
const HTTP_NOT_FOUND = 404;

/** Resolves when all wanted replicas are Ready with the wanted version and no other one is left. */
export function waitUntilServing(client: AdminClient, name: string, waiting: Waiting): Promise<DeploymentDto> {
  return poll<DeploymentDto>(name, waiting, async () => {
    const deployment = await client.deployment(name);
    const missing = missingFrom(deployment);
    return missing === null ? { done: deployment } : { missing };
  });
}

/** Resolves when the deployment is no more. */
export async function waitUntilGone(client: AdminClient, name: string, waiting: Waiting): Promise<void> {
  await poll(name, waiting, async () => {
    try {
      const { placements, status } = await client.deployment(name);
      const left = placements.filter(({ placementPhase }) => placementPhase !== 'Removed').length;
      const draining = left === 0 ? '' : `${left} ${left === 1 ? 'replica drains' : 'replicas drain'}. `;
      return { missing: `${draining}${status}` };
    } catch (error) {
      if (error instanceof ProblemError && error.problem?.status === HTTP_NOT_FOUND) return { done: true };
      throw error;
    }
  });
}

/** What keeps a deployment from being as wanted, in one sentence a replica; null when it is. */
export function missingFrom({ replicas, version, placements, status, deleting }: DeploymentDto): string | null {
  if (deleting) return `It is being deleted. ${status}`;
  const present = placements.filter(({ placementPhase }) => placementPhase !== 'Removed');
  const isServing = (each: (typeof present)[number]) =>
    each.placementPhase === 'Assigned' && each.phase === 'Ready' && each.version === version;
  const serving = present.filter(isServing).length;
  if (serving === replicas && present.length === replicas) return null;
  const others = present
    .filter((each) => !isServing(each))
    .map((each) => `${each.cluster}: ${phaseOf(each)}${each.reason ? `, ${each.reason}` : ''}`);
  return [`${serving} of ${replicas} serve version ${version}.`, status, ...others]
    .filter((part) => part !== '')
    .join(' ');
}

async function poll<Found>(
  name: string,
  { terminal, timeoutSeconds, intervalMs = INTERVAL_MS }: Waiting,
  look: () => Promise<{ done: Found } | { missing: string }>,
): Promise<Found> {
  const line = new LiveLine(terminal);
  const startedMs = terminal.now().getTime();
  let missing = 'nothing is known yet';
  try {
    for (;;) {
      const seen = await look().catch(toleratingSilence);
      if ('done' in seen) return seen.done;
      ({ missing } = seen);
      const waitedMs = terminal.now().getTime() - startedMs;
      if (waitedMs >= timeoutSeconds * 1000) break;
      line.update(`waiting ${formatSeconds(waitedMs / 1000)}: ${missing}`, missing);
      await delay(intervalMs, undefined, { signal: terminal.signal });
    }
  } finally {
    line.end();
  }
  throw new FailedError(
    `${name} is not as wanted after ${timeoutSeconds} s: ${missing}\n  Look closer: atoll explain deployment ${name}`,
  );
}

/** A control plane that restarts meanwhile is waited for like everything else. */
function toleratingSilence(error: unknown): { missing: string } {
  const isPassing = error instanceof ProblemError && (error.problem === null || error.problem.status >= 500);
  if (!isPassing) throw error;
  return { missing: error.message };
}
