/**
 * Deployments that follow an alias go where it goes. Part of the transaction that moves the alias, whose row the caller
 * has locked (so does whoever creates or changes a deployment with an alias): none is left behind.
 */
import type { Rows } from '#domain';
import { changeVersion } from '../rollouts/version-change.ts';

/**
 * Points every deployment that follows the alias at the version, beginning a rollout where something runs. One that was
 * taken back from a version before follows again.
 *
 * @param actor who moved the alias, for the audit log
 * @returns the names of the deployments that change
 */
export async function followAlias(
  rows: Rows,
  modelId: string,
  alias: string,
  versionId: string,
  actor: string,
): Promise<string[]> {
  const changed: string[] = [];
  const following = (await rows.deployments.all()).filter((each) => each.modelId === modelId && each.alias === alias);
  for (const { id } of following) {
    const deployment = await rows.deployments.find({ id }, true);
    // It may have been pinned, or removed, while its row was waited for.
    if (deployment === null || deployment.alias !== alias || deployment.deletedAt !== null) continue;
    if (deployment.versionId === versionId) continue;
    const ending = { phase: 'Superseded', reason: `alias ${alias} moved on` } as const;
    const { rollout: policy, tenantId, name } = deployment;
    const rollout = await changeVersion(rows, deployment, { toVersionId: versionId, policy, ending });
    await rows.deployments.update(id, deployment.revision, { versionId });
    await rows.audit.add({
      tenantId,
      actor,
      action: 'deployments.follow-alias',
      targetKind: 'deployment',
      targetId: id,
      detail: { name, alias, from: deployment.versionId, to: versionId, rollout: rollout?.id ?? null },
    });
    changed.push(name);
  }
  return changed;
}
