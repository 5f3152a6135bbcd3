// How replicas are run and chosen inside clusters: what people name, made concrete, and said back.

import type { z } from 'zod';
import type { createDeploymentSchema, DeploymentDto, updateDeploymentSchema } from '#contracts';
import {
  type DeployedAdapter,
  type Deployment,
  type DeploymentServing,
  RefusedError,
  type Rows,
  refuse,
} from '#domain';
import { demandPublished } from './wanted-version.ts';

type Given = Pick<
  z.output<typeof updateDeploymentSchema>,
  'engine' | 'routing' | 'localScaling' | 'nodes' | 'adapters'
>;
type NamedAdapter = z.output<typeof createDeploymentSchema>['adapters'][number];
type Owner = Pick<Deployment, 'id' | 'tenantId' | 'servedModel'>;

/**
 * `before` with what is given in its place.
 *
 * @throws RefusedError invalid, naming the adapter or `servedModel` that collides, or the version that is not there
 */
export async function changedServing(
  rows: Rows,
  owner: Owner,
  before: DeploymentServing,
  given: Given,
): Promise<DeploymentServing> {
  const { engine, routing, localScaling, nodes, adapters } = given;
  const changed: DeploymentServing = {
    engine: engine === undefined ? before.engine : engine,
    routing: routing ?? before.routing,
    localScaling: localScaling === undefined ? before.localScaling : localScaling,
    nodes: nodes ?? before.nodes,
    adapters: adapters === undefined ? before.adapters : await resolveAdapters(rows, owner.tenantId, adapters),
  };
  await demandFreeNames(rows, owner, changed.adapters);
  return changed;
}

async function resolveAdapters(
  rows: Rows,
  tenantId: string,
  adapters: readonly NamedAdapter[],
): Promise<DeployedAdapter[]> {
  const resolved: DeployedAdapter[] = [];
  for (const [index, { name, model: modelName, version: number }] of adapters.entries()) {
    const model = await rows.models.find({ tenantId, name: modelName });
    if (model === null) throw invalid(`adapters.${index}.model`, `there is no model "${modelName}"`);
    const version = await rows.versions.find({ modelId: model.id, number });
    if (version?.phase !== 'Published') {
      const words = version === null ? 'does not exist' : `is ${version.phase}; only a published one can be an adapter`;
      throw invalid(`adapters.${index}.version`, `version ${number} of model "${modelName}" ${words}`);
    }
    resolved.push({ name, versionId: version.id });
  }
  return resolved;
}

/** A name that clients give means one thing in a tenant: a deployment's own model, or an adapter. */
async function demandFreeNames(rows: Rows, owner: Owner, adapters: readonly DeployedAdapter[]): Promise<void> {
  const all = await rows.deployments.all();
  const others = all.filter(({ id, tenantId }) => tenantId === owner.tenantId && id !== owner.id);
  const seen = new Set<string>();
  for (const [index, { name }] of adapters.entries()) {
    const field = `adapters.${index}.name`;
    if (name === owner.servedModel)
      throw invalid(field, `"${name}" is what the deployment itself is called by clients`);
    if (seen.has(name)) throw invalid(field, `"${name}" is the name of another adapter of this deployment`);
    seen.add(name);
    const taken = others.find(({ servedModel }) => servedModel === name);
    if (taken !== undefined) throw invalid(field, `"${name}" is what clients call deployment "${taken.name}"`);
  }
  const clash = others.find(({ serving }) => serving.adapters.some(({ name }) => name === owner.servedModel));
  if (clash === undefined) return;
  throw invalid('servedModel', `"${owner.servedModel}" is the name of an adapter of deployment "${clash.name}"`);
}

/**
 * That no adapter has been retired since it was read. Called in the transaction that made a row name them, after that.
 *
 * @throws RefusedError conflict
 */
export async function demandAdapters(rows: Rows, { adapters }: DeploymentServing): Promise<void> {
  for (const id of [...new Set(adapters.map(({ versionId }) => versionId))].sort()) {
    await rows.versions.find({ id }, true);
    await demandPublished(rows, id);
  }
}

/** Whose documents say how replicas are served: all that hold one. They are written by the leader, soon. */
export async function oweServing(rows: Rows, deploymentId: string): Promise<void> {
  const live = await rows.placements.live({ deploymentId });
  await rows.owedDocuments.add([...new Set(live.map(({ clusterId }) => clusterId))].sort());
}

type ServingDto = Pick<DeploymentDto, 'engine' | 'routing' | 'localScaling' | 'nodes' | 'adapters'>;

export async function viewServing(rows: Rows, { adapters, ...serving }: DeploymentServing): Promise<ServingDto> {
  const { engine, routing, localScaling, nodes } = serving;
  const versions = await rows.versions.findAll(adapters.map(({ versionId }) => versionId));
  const models = await rows.models.findAll([...new Set(versions.map(({ modelId }) => modelId))]);
  const versionOf = new Map(versions.map((version) => [version.id, version]));
  const modelOf = new Map(models.map((model) => [model.id, model]));
  const views = adapters.flatMap(({ name, versionId }) => {
    const version = versionOf.get(versionId);
    const model = version && modelOf.get(version.modelId);
    if (version === undefined || model === undefined || version.digest === null) return [];
    return [{ name, model: model.name, version: version.number, versionDigest: version.digest }];
  });
  return {
    engine,
    routing: { ...routing },
    localScaling,
    nodes: { required: { ...nodes.required }, preferred: { ...nodes.preferred } },
    adapters: views,
  };
}

function invalid(field: string, reason: string): RefusedError {
  return new RefusedError(refuse.invalid(field, reason));
}
