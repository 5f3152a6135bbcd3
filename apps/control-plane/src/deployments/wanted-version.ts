// Which version somebody means: by number, by alias, or the newest.

import { type Deployment, type ModelVersion, RefusedError, type Rows, refuse } from '#domain';

export interface VersionWish {
  readonly version?: number | undefined;
  readonly alias?: string | undefined;
}

interface Named {
  readonly id: string;
  readonly name: string;
}

/**
 * The published version that is wished for, and the alias that leads there; null when it is pinned. Whoever writes what
 * comes of it locks the alias first (`lockAlias`).
 *
 * @throws RefusedError invalid, naming `version` or `alias`
 */
export async function wantedVersion(
  rows: Rows,
  model: Named,
  { version: number, alias }: VersionWish,
): Promise<{ version: ModelVersion; alias: string | null }> {
  if (alias === undefined) return { version: await publishedVersion(rows, model, number), alias: null };
  if (number !== undefined) {
    throw new RefusedError(refuse.invalid('alias', 'cannot be given together with version; give one of them'));
  }
  const found = await rows.aliases.find(model.id, alias);
  const version = found === null ? null : await rows.versions.find({ id: found.versionId });
  if (version?.phase === 'Published') return { version, alias };
  const names = (await rows.aliases.listOfModel(model.id)).map(({ name }) => name).slice(0, 20);
  const there = names.length === 0 ? 'it has none yet; move one to a version first' : `it has ${names.join(', ')}`;
  throw new RefusedError(refuse.invalid('alias', `model "${model.name}" has no alias "${alias}"; ${there}`));
}

/**
 * The alias cannot move before the deployment that follows it is there to be seen. Called before the deployment is
 * locked, in the order of whoever moves the alias, or the two would wait for each other.
 */
export async function lockAlias(rows: Rows, modelId: string | undefined, alias: string | undefined): Promise<void> {
  if (modelId !== undefined && alias !== undefined) await rows.aliases.find(modelId, alias, true);
}

/** @param number default: the newest published one */
async function publishedVersion(rows: Rows, model: Named, number: number | undefined): Promise<ModelVersion> {
  const versions = await rows.versions.listOfModel(model.id);
  const published = versions.filter(({ phase }) => phase === 'Published');
  const found = published.find((version) => number === undefined || version.number === number);
  if (found !== undefined) return found;
  const numbers = published.map((version) => version.number).slice(0, 20);
  const there = numbers.length === 0 ? 'none is published yet' : `published are ${numbers.join(', ')}`;
  const what = number === undefined ? 'a version to deploy' : `published version ${number}`;
  throw new RefusedError(refuse.invalid('version', `model "${model.name}" lacks ${what}; ${there}`));
}

/**
 * That the version has not been retired or taken back since it was read. Called in the transaction that made a row name
 * it, after that: from then on whoever takes versions away waits for this transaction, and sees the row.
 *
 * @throws RefusedError conflict
 */
export async function demandPublished(rows: Rows, versionId: string): Promise<void> {
  const version = await rows.versions.find({ id: versionId });
  if (version?.phase === 'Published') return;
  const words = version === null ? 'the version is gone' : `version ${version.number} is ${version.phase}`;
  throw new RefusedError(refuse.conflict(`${words} since just now; name another one`));
}

/** @throws RefusedError not-found */
export async function findDeployment(
  rows: Rows,
  tenantId: string,
  name: string,
  forUpdate = false,
): Promise<Deployment> {
  const deployment = await rows.deployments.find({ tenantId, name }, forUpdate);
  if (deployment === null) throw new RefusedError(refuse.notFound('deployment', name));
  return deployment;
}

/** @throws RefusedError conflict when it is being removed */
export function demandStaying({ name, deletedAt }: Deployment): void {
  if (deletedAt === null) return;
  throw new RefusedError(refuse.conflict(`deployment "${name}" is being removed and takes no changes`));
}
