/**
 * The fleet that deployments are planned on, kept in memory and brought up to date by what was written since the last look
 * (ADR 22). What was given out is never changed afterwards, so that several loops may look, each in its own time; what
 * did not change is the same object as before, and so is the whole where nothing did. Nothing that is committed rests on
 * it: whatever is out of date is refused at the commit.
 *
 * What the log does not tell is read at every look: active rollouts, of which there are few, digests of versions that had
 * none, and the documents' revisions while something drains.
 */
import type {
  Attempt,
  Cluster,
  Deployment,
  Job,
  Observation,
  Placement,
  Rollout,
  RowChanges,
  Rows,
  ToldByTable,
} from '#domain';
import type { ClusterSnapshot, FleetSnapshot } from '#scheduling';
import { KeptReports } from './kept-reports.ts';
import { KeptReservations } from './kept-reservations.ts';
import { sameList, sameMap, samePlacement, sameRows } from './same-rows.ts';
import { clusterOf, readSettled, versionIdsOf } from './snapshot.ts';

/** All of a snapshot but what depends on who looks, and when. */
export type Fleet = Omit<FleetSnapshot, 'nowMs' | 'failedIn'>;

type Changed = RowChanges['changed'];

interface Intent {
  readonly clusters: readonly Cluster[];
  readonly placements: readonly Placement[];
  readonly deployments: readonly Deployment[];
  readonly rollouts: readonly Rollout[];
}

interface Surroundings {
  readonly reports: { readonly clusterIds: ReadonlySet<string>; readonly found: readonly Observation[] };
  /** Null: nobody needs to know. */
  readonly work: JobsWork | null;
  readonly digests: ReadonlyMap<string, string>;
  readonly settled: ReadonlyMap<string, number>;
}

interface JobsWork {
  /** Null: all attempts. */
  readonly attemptIds: ReadonlySet<string> | null;
  readonly live: readonly Attempt[];
  /** Null: as they were. */
  readonly nominated: readonly Job[] | null;
}

const NOTHING: Pick<Fleet, 'reservations' | 'rollouts' | 'versionDigests'> = {
  reservations: new Map(),
  rollouts: new Map(),
  versionDigests: new Map(),
};

export class KeptFleet {
  private mark: string | null = null;
  private intent: Intent = { clusters: [], placements: [], deployments: [], rollouts: [] };
  private readonly reports = new KeptReports();
  /** Null while there is no deployment that would have to be kept off jobs' devices. */
  private reservations: KeptReservations | null = null;
  private fleet: Fleet = { clusters: [], placements: [], deployments: [], ...NOTHING };
  private lastLook: Promise<unknown> = Promise.resolve();

  /** @param rows `Store.read`: several reads at once */
  constructor(private readonly rows: Rows) {}

  /** As it is now. Who asks while somebody else's look is under way gets one of his own after it. */
  look(): Promise<Fleet> {
    const look = this.lastLook.then(() => this.lookOnce());
    this.lastLook = look.catch(() => undefined);
    return look;
  }

  /** The next look reads all again. */
  forget(): void {
    this.lastLook = this.lastLook.then(() => {
      this.mark = null;
    });
  }

  /** Kept only once all of it is here: a read that fails leaves everything as it was, and the next look is told the same. */
  private async lookOnce(): Promise<Fleet> {
    const { mark, changed } = await this.rows.changes.look(this.mark);
    const intent = await this.readIntent(changed);
    const surroundings = await this.readSurroundings(changed, intent);
    this.keep(intent, surroundings);
    this.mark = mark;
    return this.fleet;
  }

  private async readIntent(changed: Changed): Promise<Intent> {
    const { rows, intent: known } = this;
    const isDue = (table: ToldByTable) => changed === null || changed.tables.has(table);
    const [clusters, placements, deployments, rollouts] = await Promise.all([
      isDue('clusters') ? rows.clusters.all() : known.clusters,
      isDue('placements') ? rows.placements.live() : known.placements,
      isDue('deployments') ? rows.deployments.all() : known.deployments,
      rows.rollouts.active(),
    ]);
    return {
      clusters: sameRows(known.clusters, clusters),
      placements: sameRows(known.placements, placements, samePlacement),
      deployments: sameRows(known.deployments, deployments),
      rollouts: sameRows(known.rollouts, rollouts),
    };
  }

  private async readSurroundings(changed: Changed, intent: Intent): Promise<Surroundings> {
    const [reports, work, digests, settled] = await Promise.all([
      this.readReports(changed, intent),
      intent.deployments.length === 0 ? null : this.readWork(changed),
      this.readDigests(changed, intent),
      readSettled(this.rows, intent.placements),
    ]);
    return { reports, work, digests, settled };
  }

  /** Those that were written, and of clusters that were not among the others before. */
  private async readReports(changed: Changed, { clusters }: Intent): Promise<Surroundings['reports']> {
    const { rows, intent: known } = this;
    const clusterIds = new Set(clusters.map(({ id }) => id));
    const isKept = ({ id }: Cluster) => changed !== null && !changed.rows.observations.has(id);
    for (const cluster of known.clusters) if (isKept(cluster)) clusterIds.delete(cluster.id);
    return { clusterIds, found: await rows.observations.findAll([...clusterIds], 'without-tasks') };
  }

  private async readWork(changed: Changed): Promise<JobsWork> {
    const { attempts, jobs } = this.rows;
    if (changed === null || this.reservations === null) {
      const [live, nominated] = await Promise.all([attempts.live(), jobs.nominated()]);
      return { attemptIds: null, live, nominated };
    }
    const [written, nominated] = await Promise.all([
      attempts.findAll([...changed.rows.attempts]),
      changed.rows.jobs.size === 0 ? null : jobs.nominated(),
    ]);
    return { attemptIds: changed.rows.attempts, live: written.filter(({ phase }) => phase !== 'Ended'), nominated };
  }

  /** A digest that a version has once stays as it is. */
  private async readDigests(changed: Changed, { deployments, rollouts }: Intent): Promise<ReadonlyMap<string, string>> {
    const known = changed === null ? NOTHING.versionDigests : this.fleet.versionDigests;
    const wanted = [...new Set(versionIdsOf(deployments, rollouts))];
    const read = await this.rows.versions.findAll(wanted.filter((id) => !known.has(id)));
    const learned = new Map(read.map(({ id, digest }) => [id, digest]));
    return new Map(
      wanted.flatMap((id): [string, string][] => {
        const digest = known.get(id) ?? learned.get(id) ?? null;
        return digest === null ? [] : [[id, digest]];
      }),
    );
  }

  /** Neither fails nor waits. */
  private keep(intent: Intent, { reports, work, digests, settled }: Surroundings): void {
    this.reports.keep(reports.clusterIds, reports.found);
    if (intent.clusters !== this.intent.clusters) this.reports.retain(new Set(intent.clusters.map(({ id }) => id)));
    this.reservations = work === null ? null : (this.reservations ?? new KeptReservations());
    if (work !== null) this.reservations!.keepAttempts(work.attemptIds, work.live);
    if (work !== null && work.nominated !== null) this.reservations!.keepPromises(work.nominated);
    const known = this.fleet;
    const byDeployment = new Map(intent.rollouts.map((rollout) => [rollout.deploymentId, rollout]));
    const fleet: Fleet = {
      clusters: this.clusters(intent.clusters, settled),
      placements: intent.placements,
      deployments: intent.deployments,
      reservations: this.reservations?.byCluster() ?? NOTHING.reservations,
      rollouts: sameMap(known.rollouts, byDeployment),
      versionDigests: sameMap(known.versionDigests, digests),
    };
    this.intent = intent;
    this.fleet = isSame(known, fleet) ? known : fleet;
  }

  private clusters(clusters: readonly Cluster[], settled: Surroundings['settled']): readonly ClusterSnapshot[] {
    const known = new Map(this.fleet.clusters.map((state) => [state.cluster.id, state]));
    const next = clusters.map((cluster) => {
      const { id } = cluster;
      return sameCluster(known.get(id), clusterOf(cluster, this.reports.of(id), settled.get(id)));
    });
    return sameList(this.fleet.clusters, next);
  }
}

function sameCluster(known: ClusterSnapshot | undefined, next: ClusterSnapshot): ClusterSnapshot {
  if (known === undefined || known.cluster !== next.cluster) return next;
  if (known.report === null || next.report === null) return known.report === next.report ? known : next;
  return isSame(known.report, next.report) ? known : next;
}

/** Whether all that they consist of are the same objects. */
function isSame<Parts extends object>(known: Parts, next: Parts): boolean {
  return (Object.keys(next) as (keyof Parts)[]).every((part) => known[part] === next[part]);
}
