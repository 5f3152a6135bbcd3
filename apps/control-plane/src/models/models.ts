import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createModelSchema, ModelDto, updateModelSchema } from '#contracts';
import { type Model, type ModelPolicy, RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { Staging } from '../blobs/staging.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { cronProblem } from './cron.ts';

interface ModelTarget {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

@Injectable()
export class Models {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly staging: Staging,
  ) {}

  create(
    actor: Actor,
    wanted: z.output<typeof createModelSchema>,
    idempotencyKey: string | undefined,
  ): Promise<ModelDto> {
    demandFiring(wanted.policy);
    return this.mutations.create(actor, 'models.create', repeatable(idempotencyKey, wanted), async (rows) => {
      const ids = { id: uuidv7(), tenantId: actor.tenantId };
      const model: Model = { ...ids, ...wanted, createdAt: new Date(), revision: 1 };
      await rows.models.insert(model);
      return { result: viewModel(model), targetKind: 'model', targetId: model.id, detail: { ...wanted } };
    });
  }

  async list(tenantId: string, query: PageQuery): Promise<Page<ModelDto>> {
    const page = await readPage(tenantId, query, (request) => this.store.read.models.list(request));
    return { ...page, items: page.items.map(viewModel) };
  }

  async get(tenantId: string, name: string): Promise<ModelDto> {
    return viewModel(await findModel(this.store.read, tenantId, name));
  }

  update(actor: Actor, target: ModelTarget, change: z.output<typeof updateModelSchema>): Promise<ModelDto> {
    const given = Object.fromEntries(Object.entries(change.policy).filter(([, value]) => value !== undefined));
    demandFiring(given);
    return this.mutations.run(actor, 'models.update', async (rows) => {
      const model = await findModel(rows, actor.tenantId, target.name);
      demandMatch(target.ifMatch, model);
      const policy: ModelPolicy = { ...model.policy, ...given };
      if (!(await rows.models.update(model.id, model.revision, { policy }))) {
        throw new RefusedError(refuse.precondition('The model was changed by somebody else just now; read it again.'));
      }
      const result = viewModel({ ...model, policy, revision: model.revision + 1 });
      return { result, targetKind: 'model', targetId: model.id, detail: { name: model.name, policy } };
    });
  }

  /** With its versions; refused while a deployment uses one. */
  async remove(actor: Actor, target: ModelTarget): Promise<void> {
    const versionIds = await this.mutations.run(actor, 'models.delete', async (rows) => {
      const model = await findModel(rows, actor.tenantId, target.name);
      demandMatch(target.ifMatch, model);
      const versions = await rows.versions.listOfModel(model.id);
      await rows.models.remove(model.id);
      const detail = { name: model.name, versions: versions.length };
      return { result: versions.map(({ id }) => id), targetKind: 'model', targetId: model.id, detail };
    });
    await Promise.all(versionIds.map((id) => this.staging.discard(id)));
  }
}

/** @throws RefusedError invalid */
function demandFiring({ snapshotCron }: Partial<ModelPolicy>): void {
  const problem = snapshotCron === undefined ? null : cronProblem(snapshotCron);
  if (problem !== null) throw new RefusedError(refuse.invalid('policy.snapshotCron', problem));
}

/** @throws RefusedError not-found */
export async function findModel(rows: Rows, tenantId: string, name: string): Promise<Model> {
  const model = await rows.models.find({ tenantId, name });
  if (model === null) throw new RefusedError(refuse.notFound('model', name));
  return model;
}

function viewModel({ id, name, policy, createdAt, revision }: Model): ModelDto {
  return { id, name, policy, createdAt: createdAt.toISOString(), revision };
}
