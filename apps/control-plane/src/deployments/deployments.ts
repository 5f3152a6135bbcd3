// What should be served: written here as intent, carried out by the leader after the commit.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createDeploymentSchema, DeploymentDto, DeploymentPlanDto, updateDeploymentSchema } from '#contracts';
import { type Deployment, type ModelVersion, RefusedError, type Rows, refuse, Store } from '#domain';
import { planDeployment } from '#scheduling';
import type { Actor } from '../auth/actor.ts';
import { readSchedulingSnapshot } from '../leader/snapshot.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { type Deed, Mutations } from '../mutations/mutations.ts';
import { type Page, readPage } from '../mutations/pages.ts';
import { viewDeployment, viewPlan } from './deployment-view.ts';

export interface DeploymentTarget {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

type Wanted = z.output<typeof createDeploymentSchema>;
type Change = z.output<typeof updateDeploymentSchema>;

@Injectable()
export class Deployments {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  create(actor: Actor, wanted: Wanted, idempotencyKey: string | undefined): Promise<DeploymentDto> {
    const request = repeatable(idempotencyKey, wanted);
    return this.mutations.create(actor, 'deployments.create', request, async (rows) => {
      const deployment = await newDeployment(rows, actor.tenantId, wanted);
      await rows.deployments.insert(deployment);
      return deed(rows, deployment, { ...wanted });
    });
  }

  async list(tenantId: string, query: { limit: number; after?: string | undefined }): Promise<Page<DeploymentDto>> {
    const { read } = this.store;
    const page = await readPage(tenantId, query, (request) => read.deployments.list(request));
    return { ...page, items: await Promise.all(page.items.map((deployment) => viewDeployment(read, deployment))) };
  }

  async get(tenantId: string, name: string): Promise<DeploymentDto> {
    return viewDeployment(this.store.read, await findDeployment(this.store.read, tenantId, name));
  }

  update(actor: Actor, target: DeploymentTarget, change: Change): Promise<DeploymentDto> {
    return this.mutations.run(actor, 'deployments.update', async (rows) => {
      const deployment = await findDeployment(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, deployment);
      const changed = await changedDeployment(rows, deployment, change);
      const { replicas, versionId, selector, disconnect } = changed;
      await rows.deployments.update(deployment.id, deployment.revision, { replicas, versionId, selector, disconnect });
      return deed(rows, { ...changed, revision: deployment.revision + 1 }, { name: deployment.name, ...change });
    });
  }

  /** Marks it as being removed; the row goes once its replicas have drained. Repeating it is harmless. */
  remove(actor: Actor, target: DeploymentTarget): Promise<DeploymentDto> {
    return this.mutations.run(actor, 'deployments.delete', async (rows) => {
      const deployment = await findDeployment(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, deployment);
      if (deployment.deletedAt !== null) return deed(rows, deployment, { name: deployment.name, repeated: true });
      const deletedAt = new Date();
      await rows.deployments.update(deployment.id, deployment.revision, { deletedAt });
      return deed(rows, { ...deployment, deletedAt, revision: deployment.revision + 1 }, { name: deployment.name });
    });
  }

  async planCreate(tenantId: string, wanted: Wanted): Promise<DeploymentPlanDto> {
    const deployment = await newDeployment(this.store.read, tenantId, wanted);
    if ((await this.store.read.deployments.find({ tenantId, name: wanted.name })) !== null) {
      throw new RefusedError(refuse.conflict('a deployment with this name exists; choose another name'));
    }
    return this.#plan(deployment);
  }

  async planUpdate(tenantId: string, target: DeploymentTarget, change: Change): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, tenantId, target.name);
    demandMatch(target.ifMatch, deployment);
    return this.#plan(await changedDeployment(this.store.read, deployment, change));
  }

  async planRemove(tenantId: string, target: DeploymentTarget): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, tenantId, target.name);
    demandMatch(target.ifMatch, deployment);
    return this.#plan({ ...deployment, deletedAt: deployment.deletedAt ?? new Date() });
  }

  /** The newest stored decision, and what would be done now. */
  async explain(tenantId: string, name: string): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, tenantId, name);
    const [decision] = await this.store.read.decisions.newest(deployment.id, 1);
    const present = await this.#plan(deployment);
    if (decision === undefined) return present;
    const stored = viewPlan(deployment.name, { assign: [], drain: [], remove: [], decision }, []);
    return { ...present, outcome: stored.outcome, candidates: stored.candidates };
  }

  async #plan(deployment: Deployment): Promise<DeploymentPlanDto> {
    const snapshot = await readSchedulingSnapshot(this.store.read, { versionIds: [deployment.versionId] });
    const clusters = snapshot.clusters.map(({ cluster }) => cluster);
    return viewPlan(deployment.name, planDeployment(snapshot, deployment), clusters);
  }
}

async function deed(rows: Rows, deployment: Deployment, detail: Record<string, unknown>): Promise<Deed<DeploymentDto>> {
  const result = await viewDeployment(rows, deployment);
  return { result, targetKind: 'deployment', targetId: deployment.id, detail };
}

async function newDeployment(rows: Rows, tenantId: string, wanted: Wanted): Promise<Deployment> {
  const model = await rows.models.find({ tenantId, name: wanted.model });
  if (model === null) throw new RefusedError(refuse.invalid('model', `there is no model "${wanted.model}"`));
  const version = await publishedVersion(rows, model, wanted.version);
  const { name, replicas, claim, selector, disconnect, servedModel = model.name } = wanted;
  const ids = { id: uuidv7(), tenantId, modelId: model.id, versionId: version.id };
  const specification = { name, servedModel, replicas, claim, selector, disconnect };
  return { ...ids, ...specification, deletedAt: null, createdAt: new Date(), revision: 1 };
}

/** @throws RefusedError conflict when it is being removed, invalid `version` when that one is not published */
async function changedDeployment(rows: Rows, deployment: Deployment, change: Change): Promise<Deployment> {
  if (deployment.deletedAt !== null) {
    throw new RefusedError(refuse.conflict(`deployment "${deployment.name}" is being removed and takes no changes`));
  }
  const { version: number, ...rest } = change;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  if (number === undefined) return { ...deployment, ...given };
  const model = await rows.models.find({ id: deployment.modelId });
  const version = await publishedVersion(rows, { id: deployment.modelId, name: model?.name ?? '' }, number);
  return { ...deployment, ...given, versionId: version.id };
}

/** @param number default: the newest published one */
async function publishedVersion(
  rows: Rows,
  model: { readonly id: string; readonly name: string },
  number: number | undefined,
): Promise<ModelVersion> {
  const versions = await rows.versions.listOfModel(model.id);
  const published = versions.filter(({ phase }) => phase === 'Published');
  const found = published.find((version) => number === undefined || version.number === number);
  if (found !== undefined) return found;
  const numbers = published.map((version) => version.number).slice(0, 20);
  const there = numbers.length === 0 ? 'none is published yet' : `published are ${numbers.join(', ')}`;
  const what = number === undefined ? 'a version to deploy' : `published version ${number}`;
  throw new RefusedError(refuse.invalid('version', `model "${model.name}" lacks ${what}; ${there}`));
}

/** @throws RefusedError not-found */
async function findDeployment(rows: Rows, tenantId: string, name: string, forUpdate = false): Promise<Deployment> {
  const deployment = await rows.deployments.find({ tenantId, name }, forUpdate);
  if (deployment === null) throw new RefusedError(refuse.notFound('deployment', name));
  return deployment;
}
