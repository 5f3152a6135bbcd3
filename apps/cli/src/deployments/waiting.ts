// Waiting for a deployment: says what is missing all the while, and gives up at a stated time.
import { type AdminClient, type DeploymentDto, ProblemError } from '#contracts';
import { poll, type Waiting } from '../polling.ts';
import { phaseOf } from './views.ts';

const HTTP_NOT_FOUND = 404;

/** Resolves when all wanted replicas are Ready with the wanted version and no other one is left. */
export function waitUntilServing(client: AdminClient, name: string, waiting: Waiting): Promise<DeploymentDto> {
  return poll<DeploymentDto>(notAsWanted(name), waiting, async () => {
    const deployment = await client.deployment(name);
    const missing = missingFrom(deployment);
    return missing === null ? { done: deployment } : { missing };
  });
}

/** Resolves when the deployment is no more. */
export async function waitUntilGone(client: AdminClient, name: string, waiting: Waiting): Promise<void> {
  await poll(notAsWanted(name), waiting, async () => {
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

function notAsWanted(name: string) {
  return (missing: string, seconds: number) =>
    `${name} is not as wanted after ${seconds} s: ${missing}\n  Look closer: atoll explain deployment ${name}`;
}
