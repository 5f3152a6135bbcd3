import { type Budget, budgetTitle, RoutesRows, type RoutesView } from '#domain';
import type { Session } from '../session.ts';
import { BUILD_VIEW } from './routes-view.sql.ts';

interface StoredView {
  readonly sequence: string;
  readonly view: Omit<RoutesView, 'sequence' | 'budgets'> & {
    /** Absent in a view that was built before gateways charged. */
    readonly budgets?: readonly Pick<Budget, 'id' | 'name' | 'limitTokens' | 'period'>[];
  };
}

export class PostgresRoutesRows extends RoutesRows {
  constructor(private readonly session: Session) {
    super();
  }

  async refresh(): Promise<{ view: RoutesView; changed: boolean }> {
    // A statement of its own: the view must be built from a snapshot taken after the lock was waited for, or of two
    // refreshes at once the one that looked first could write last.
    const locked = await this.session.write<StoredView>('SELECT sequence, view FROM routes_view FOR UPDATE');
    const { rows } = await this.session.write<StoredView>(STORE_IF_CHANGED);
    return { view: fromRow(rows[0] ?? locked.rows[0]!), changed: rows.length === 1 };
  }

  async current(): Promise<RoutesView | null> {
    const [row] = await this.session.rows<StoredView>('SELECT sequence, view FROM routes_view WHERE sequence > 0');
    return row === undefined ? null : fromRow(row);
  }
}

// jsonb keeps its keys in one order, so equal content has equal text.
const STORE_IF_CHANGED = `
  WITH built AS (${BUILD_VIEW}),
  hashed AS (SELECT view, encode(sha256(convert_to(view::text, 'UTF8')), 'hex') AS content_hash FROM built)
  UPDATE routes_view AS stored
  SET sequence = stored.sequence + 1, content_hash = hashed.content_hash, view = hashed.view
  FROM hashed WHERE stored.content_hash <> hashed.content_hash
  RETURNING stored.sequence, stored.view`;

function fromRow(row: StoredView): RoutesView {
  return {
    sequence: Number(row.sequence),
    keys: row.view.keys,
    budgets: (row.view.budgets ?? []).map((budget) => ({ budgetId: budget.id, title: budgetTitle(budget) })),
    clusters: row.view.clusters,
    deployments: row.view.deployments,
  };
}
