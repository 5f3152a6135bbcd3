import { type DesiredOutline, itemHashOfText, outlineDigest, outlineOf } from '#contracts';
import { canonicalJson, type DesiredPosition, DesiredRows, type DesiredState, StaleEpochError } from '#domain';
import { contentHashOfLists } from '../canonical.ts';
import { DesiredStateRow } from '../entities/observed.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { mustHaveWritten } from './written.ts';

export class PostgresDesiredRows extends DesiredRows {
  constructor(private readonly session: Session) {
    super();
  }

  async find(clusterId: string): Promise<DesiredState | null> {
    if (!isId(clusterId)) return null;
    const row = await this.session.findOne(DesiredStateRow, { clusterId });
    return row === null ? null : fromRow(row);
  }

  async position(clusterId: string): Promise<DesiredPosition | null> {
    if (!isId(clusterId)) return null;
    const [row] = await this.session.rows<PositionRow>(POSITION, [clusterId]);
    if (row === undefined) return null;
    const position = { epoch: Number(row.epoch), revision: Number(row.revision) };
    return { clusterId, ...position, digest: row.outline === null ? null : outlineDigest(position, row.outline) };
  }

  async keepOutline(state: DesiredState): Promise<void> {
    const { clusterId, epoch, revision } = state;
    await this.session.write(KEEP_OUTLINE, [clusterId, epoch, revision, JSON.stringify(outlineOf(state))]);
  }

  async revisions(): Promise<{ clusterId: string; epoch: number; revision: number }[]> {
    const rows = await this.session.rows<{ cluster_id: string; epoch: string; revision: string }>(REVISIONS_PRESENT);
    return rows.map((row) => ({
      clusterId: row.cluster_id,
      epoch: Number(row.epoch),
      revision: Number(row.revision),
    }));
  }

  /** Throws StaleEpochError when the stored document is of a newer epoch; the order of the arrays does not count. */
  async put(
    clusterId: string,
    epoch: number,
    content: Pick<DesiredState, 'versions' | 'replicas' | 'tasks'>,
  ): Promise<{ state: DesiredState; changed: boolean }> {
    const versions = [...content.versions].sort((left, right) => (left.versionId < right.versionId ? -1 : 1));
    const replicas = [...content.replicas].sort((left, right) => (left.replicaId < right.replicaId ? -1 : 1));
    const tasks = [...content.tasks].sort((left, right) => (left.taskId < right.taskId ? -1 : 1));
    const { hash, outline } = hashesOf({ versions, replicas, tasks });
    const { rows } = await this.session.write<{ revision: string }>(PUT_IF_CHANGED, [
      clusterId,
      epoch,
      hash,
      JSON.stringify(versions),
      JSON.stringify(replicas),
      JSON.stringify(tasks),
      JSON.stringify(outline),
    ]);
    if (rows[0] !== undefined) {
      const revision = Number(rows[0].revision);
      return { state: { clusterId, epoch, revision, versions, replicas, tasks }, changed: true };
    }
    const stored = await this.session.findOne(DesiredStateRow, { clusterId });
    if (stored === null) mustHaveWritten({ rows: [], affected: 0 }, 'cluster', clusterId);
    if (stored!.epoch > epoch) throw new StaleEpochError(epoch, stored!.epoch);
    return { state: fromRow(stored!), changed: false };
  }

  async raise(clusterId: string, revision: number): Promise<void> {
    mustHaveWritten(await this.session.write(RAISE, [clusterId, revision]), 'cluster', clusterId);
  }
}

interface PositionRow {
  readonly epoch: string;
  readonly revision: string;
  readonly outline: DesiredOutline | null;
}

/** The canonical JSON of each item is made once for both. */
function hashesOf({ versions, replicas, tasks }: Pick<DesiredState, keyof DesiredOutline>) {
  const texts = {
    versions: versions.map(canonicalJson),
    replicas: replicas.map(canonicalJson),
    tasks: tasks.map(canonicalJson),
  };
  const join = (items: readonly string[]) => items.map(itemHashOfText).join('');
  const outline = { versions: join(texts.versions), replicas: join(texts.replicas), tasks: join(texts.tasks) };
  // Without tasks the hash is that of a document from before there were any: an upgrade changes no document.
  return { hash: contentHashOfLists({ ...texts, tasks: tasks.length === 0 ? undefined : texts.tasks }), outline };
}

// The revision rises with every change of content, by whatever release: an outline of another one is of other content.
const POSITION = `
  SELECT epoch, revision, CASE WHEN outline_revision = revision THEN outline END AS outline
  FROM desired_states WHERE cluster_id = $1`;

const KEEP_OUTLINE = `
  UPDATE desired_states SET outline = $4::jsonb, outline_revision = revision
  WHERE cluster_id = $1 AND epoch = $2 AND revision = $3`;

// No content has an empty hash: what is put next differs from it. The content stays, and its outline is made by who asks.
const RAISE = `
  INSERT INTO desired_states
    (cluster_id, tenant_id, epoch, revision, content_hash, versions, replicas, tasks, updated_at)
  SELECT id, tenant_id, 0, $2, '', '[]', '[]', '[]', now() FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    revision = greatest(desired_states.revision, excluded.revision), content_hash = ''`;

const REVISIONS_PRESENT = `
  SELECT cluster_id, epoch, desired_states.revision FROM desired_states JOIN clusters ON clusters.id = cluster_id
  WHERE clusters.phase <> 'Left' ORDER BY cluster_id`;

const PUT_IF_CHANGED = `
  INSERT INTO desired_states
    (cluster_id, tenant_id, epoch, revision, content_hash, versions, replicas, tasks, outline, outline_revision, updated_at)
  SELECT id, tenant_id, $2, 1, $3, $4::jsonb, $5::jsonb, $6::jsonb, $7::jsonb, 1, now() FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    epoch = excluded.epoch, revision = desired_states.revision + 1, content_hash = excluded.content_hash,
    versions = excluded.versions, replicas = excluded.replicas, tasks = excluded.tasks,
    outline = excluded.outline, outline_revision = desired_states.revision + 1,
    updated_at = excluded.updated_at
  WHERE desired_states.content_hash <> excluded.content_hash AND desired_states.epoch <= excluded.epoch
  RETURNING revision`;

function fromRow(row: DesiredStateRow): DesiredState {
  const { clusterId, epoch, revision, versions, replicas, tasks } = row;
  return { clusterId, epoch, revision, versions, replicas, tasks };
}
