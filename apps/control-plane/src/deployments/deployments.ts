// What should be served: written here as intent, carried out by the leader after the commit.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createDeploymentSchema, DeploymentDto, DeploymentPlanDto, updateDeploymentSchema } from '#contracts';
import { DEFAULT_DEPLOYMENT_SERVING, type Deployment, RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { BlobStore } from '../blobs/blob-store.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { type Deed, Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { namedPriorityClass, namedQueue } from '../queues/named.ts';
import { changeVersion } from '../rollouts/version-change.ts';
import { viewDeployment, viewPlan } from './deployment-view.ts';
import { planChange } from './dry-run.ts';
import { resolveReplicaClaim } from './resolve-claim.ts';
import { changedServing, demandAdapters, oweServing } from './serving.ts';
import { demandPublished, demandStaying, findDeployment, lockAlias, wantedVersion } from './wanted-version.ts';

export interface DeploymentTarget {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

type Wanted = z.output<typeof createDeploymentSchema>;
type Change = z.output<typeof updateDeploymentSchema>;

/** Somebody who changes it faster than it can be read sees it as it was half-way. */
const VIEW_TRIES_MAX = 3;

@Injectable()
export class Deployments {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly blobs: BlobStore,
  ) {}

  create(actor: Actor, wanted: Wanted, idempotencyKey: string | undefined): Promise<DeploymentDto> {
    const request = repeatable(idempotencyKey, wanted);
    return this.mutations.create(actor, 'deployments.create', request, async (rows) => {
      const model = await rows.models.find({ tenantId: actor.tenantId, name: wanted.model });
      await lockAlias(rows, model?.id, wanted.alias);
      const deployment = await newDeployment(rows, this.blobs, actor, wanted);
      await rows.deployments.insert(deployment);
      await demandPublished(rows, deployment.versionId);
      await demandAdapters(rows, deployment.serving);
      return deed(rows, deployment, { ...wanted });
    });
  }

  async list(tenantId: string, query: PageQuery): Promise<Page<DeploymentDto>> {
    const { read } = this.store;
    const page = await readPage(tenantId, query, (request) => read.deployments.list(request));
    return { ...page, items: await Promise.all(page.items.map((deployment) => viewDeployment(read, deployment))) };
  }

  async get(tenantId: string, name: string): Promise<DeploymentDto> {
    const { read } = this.store;
    for (let tries = 1; ; tries += 1) {
      const deployment = await findDeployment(read, tenantId, name);
      const view = await viewDeployment(read, deployment);
      // It is many reads: one that a change came in between would show the version of before beside the rollout of after.
      const { revision } = await findDeployment(read, tenantId, name);
      if (revision === deployment.revision || tries === VIEW_TRIES_MAX) return view;
    }
  }

  /** Another version begins a rollout where something runs, in the same transaction. */
  update(actor: Actor, target: DeploymentTarget, change: Change): Promise<DeploymentDto> {
    return this.mutations.run(actor, 'deployments.update', async (rows) => {
      const { modelId } = await findDeployment(rows, actor.tenantId, target.name);
      await lockAlias(rows, modelId, change.alias);
      const deployment = await findDeployment(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, deployment);
      const changed = await changedDeployment(rows, actor, deployment, change);
      const { replicas, versionId, alias, selector, spread, disconnect, serving, rollout } = changed;
      const { queueId, priorityClass, priority } = changed;
      if (versionId !== deployment.versionId) await startRollout(rows, actor, deployment, changed);
      const account = { queueId, priorityClass, priority };
      const written = { replicas, versionId, alias, selector, spread, disconnect, serving, rollout, ...account };
      await rows.deployments.update(deployment.id, deployment.revision, written);
      if (versionId !== deployment.versionId) await demandPublished(rows, versionId);
      if (serving !== deployment.serving) await demandAdapters(rows, serving);
      if (serving !== deployment.serving) await oweServing(rows, deployment.id);
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
      const ending = { phase: 'Superseded', reason: 'the deployment is being removed' } as const;
      for (const { id } of await rows.rollouts.active(deployment.id)) await rows.rollouts.update(id, ending);
      return deed(rows, { ...deployment, deletedAt, revision: deployment.revision + 1 }, { name: deployment.name });
    });
  }

  async planCreate(actor: Actor, wanted: Wanted): Promise<DeploymentPlanDto> {
    const { tenantId } = actor;
    const deployment = await newDeployment(this.store.read, this.blobs, actor, wanted);
    if ((await this.store.read.deployments.find({ tenantId, name: wanted.name })) !== null) {
      throw new RefusedError(refuse.conflict('a deployment with this name exists; choose another name'));
    }
    return planChange(this.store.read, null, deployment);
  }

  async planUpdate(actor: Actor, target: DeploymentTarget, change: Change): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, actor.tenantId, target.name);
    demandMatch(target.ifMatch, deployment);
    const changed = await changedDeployment(this.store.read, actor, deployment, change);
    return planChange(this.store.read, deployment, changed);
  }

  async planRemove(tenantId: string, target: DeploymentTarget): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, tenantId, target.name);
    demandMatch(target.ifMatch, deployment);
    const removed = { ...deployment, deletedAt: deployment.deletedAt ?? new Date() };
    return planChange(this.store.read, deployment, removed);
  }

  /** The newest stored decision, and what would be done now. */
  async explain(tenantId: string, name: string): Promise<DeploymentPlanDto> {
    const deployment = await findDeployment(this.store.read, tenantId, name);
    const [decision] = await this.store.read.decisions.newest(deployment.id, 1);
    const present = await planChange(this.store.read, deployment, deployment);
    if (decision === undefined) return present;
    const stored = viewPlan(deployment.name, { assign: [], drain: [], remove: [], decision }, []);
    return { ...present, outcome: stored.outcome, candidates: stored.candidates };
  }
}

async function deed(rows: Rows, deployment: Deployment, detail: Record<string, unknown>): Promise<Deed<DeploymentDto>> {
  const result = await viewDeployment(rows, deployment);
  return { result, targetKind: 'deployment', targetId: deployment.id, detail };
}

function startRollout(rows: Rows, actor: Actor, deployment: Deployment, changed: Deployment) {
  const ending = { phase: 'Superseded', reason: `${actor.name} wants another version` } as const;
  return changeVersion(rows, deployment, { toVersionId: changed.versionId, policy: changed.rollout, ending });
}

async function newDeployment(rows: Rows, blobs: BlobStore, actor: Actor, wanted: Wanted): Promise<Deployment> {
  const { tenantId } = actor;
  const model = await rows.models.find({ tenantId, name: wanted.model });
  if (model === null) throw new RefusedError(refuse.invalid('model', `there is no model "${wanted.model}"`));
  const { version, alias } = await wantedVersion(rows, model, wanted);
  const { name, replicas, selector, spread, disconnect, rollout, servedModel = model.name } = wanted;
  const claim = await resolveReplicaClaim(rows, blobs, wanted, version);
  const ids = { id: uuidv7(), tenantId, modelId: model.id, versionId: version.id };
  const serving = await changedServing(rows, { ...ids, servedModel }, DEFAULT_DEPLOYMENT_SERVING, wanted);
  const specification = { name, servedModel, replicas, claim, selector, spread, disconnect, serving, alias, rollout };
  const account = await accountOf(rows, actor, wanted);
  const createdAt = await rows.clock.now();
  return { ...ids, ...specification, ...account, deletedAt: null, createdAt, revision: 1 };
}

type Account = Pick<Deployment, 'queueId' | 'priorityClass' | 'priority'>;

/** What names mean, of those that are given. */
async function accountOf<Named extends Pick<Change, 'queue' | 'priorityClass'>>(
  rows: Rows,
  actor: Actor,
  named: Named,
): Promise<Named extends { queue: string; priorityClass: string } ? Account : Partial<Account>> {
  const { queue, priorityClass } = named;
  const account: Partial<Account> = {};
  if (queue !== undefined) Object.assign(account, { queueId: (await namedQueue(rows, actor.tenantId, queue)).id });
  if (priorityClass !== undefined) {
    const { name, priority } = await namedPriorityClass(rows, actor, priorityClass, 'deployment');
    Object.assign(account, { priorityClass: name, priority });
  }
  return account as Account;
}

/** @throws RefusedError conflict when it is being removed, invalid `version` or `alias` when there is no such version */
async function changedDeployment(
  rows: Rows,
  actor: Actor,
  deployment: Deployment,
  change: Change,
): Promise<Deployment> {
  demandStaying(deployment);
  const { version: number, alias: name, queue, priorityClass, ...others } = change;
  const { engine, routing, localScaling, nodes, adapters, ...rest } = others;
  const inside = { engine, routing, localScaling, nodes, adapters };
  const isServedOtherwise = Object.values(inside).some((value) => value !== undefined);
  const serving = isServedOtherwise
    ? await changedServing(rows, deployment, deployment.serving, inside)
    : deployment.serving;
  const account = await accountOf(rows, actor, { queue, priorityClass });
  const said = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const given = { ...said, ...account, serving };
  if (number === undefined && name === undefined) return { ...deployment, ...given };
  const model = await rows.models.find({ id: deployment.modelId });
  const named = { id: deployment.modelId, name: model?.name ?? '' };
  const { version, alias } = await wantedVersion(rows, named, change);
  return { ...deployment, ...given, versionId: version.id, alias };
}
