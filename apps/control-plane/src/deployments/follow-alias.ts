// What deployments that follow an alias do when it moves.

import type { Rows } from '#domain';

/**
 * Brings every deployment that follows the alias to the version, in the caller's transaction.
 *
 * @param _actor who moved it
 * @returns the names of the deployments whose rollout begins
 */
export async function followAlias(
  rows: Rows,
  modelId: string,
  alias: string,
  versionId: string,
  _actor: string,
): Promise<string[]> {
  const names: string[] = [];
  const followers = (await rows.deployments.all()).filter((each) => each.modelId === modelId && each.alias === alias);
  for (const { id } of followers) {
    const deployment = await rows.deployments.find({ id }, true);
    if (deployment === null || deployment.alias !== alias) continue;
    if (deployment.deletedAt !== null || deployment.versionId === versionId) continue;
    await rows.deployments.update(id, deployment.revision, { versionId });
    names.push(deployment.name);
  }
  return names;
}
