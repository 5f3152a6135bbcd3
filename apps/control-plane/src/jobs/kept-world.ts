/**
 * The rows that jobs are decided from, kept in memory and brought up to date by what was written since the last look
 * (ADR 22). A row that did not change is the same object as before, and so is the list of a cluster's nodes: the planner
 * does not count those again. Nothing that is committed rests on it: whatever is out of date is refused at the commit.
 *
 * For one reader at a time: what an earlier look gave is brought up to date in place by the next one.
 */
import { type Attempt, isFinal, type Job, type Observation, type Rows, utcDay } from '#domain';
import { byId, sameIfEqual, sameNodes, samePlacement, sameRows } from '../leader/same-rows.ts';
import { HeldWork } from './held-work.ts';
import type { JobWorld } from './job-world.ts';
import { Touched } from './touched.ts';

/** Use is halved every day; what is older than this counts next to nothing. */
const RECENT_USE_DAYS = 7;
const DAY_MS = 86_400_000;

type Rest = Pick<JobWorld, 'clusters' | 'placements' | 'deployments' | 'queues' | 'usage'>;

export class KeptWorld {
  private mark: string | null = null;
  private readonly jobs = new Map<string, Job>();
  private readonly attempts = new Map<string, Attempt>();
  private readonly observations = new Map<string, Observation>();
  private rest: Rest = { clusters: new Map(), placements: [], deployments: new Map(), queues: [], usage: [] };
  /** Tables of `rest` that are to be read again, and clusters whose reports are; null: all of them. */
  private staleTables: Set<string> | null = null;
  private staleReports: Set<string> | null = null;
  private usageSince = '';
  private touched = new Touched();
  private held = new HeldWork();

  /** @param rows `Store.read`: several reads at once */
  constructor(private readonly rows: Rows) {}

  /** Jobs and attempts as they are now. @returns whether there are any */
  async lookAtWork(): Promise<boolean> {
    const { mark, changed } = await this.rows.changes.look(this.mark);
    // Kept only once what it tells is here: a read that fails is made again by the next look.
    if (changed === null) await this.readAllWork();
    else await this.readWork(changed.rows.jobs, changed.rows.attempts);
    this.note(changed);
    this.mark = mark;
    return this.jobs.size + this.attempts.size > 0;
  }

  /** All of it as it is now. */
  async look(nowMs: number): Promise<JobWorld> {
    await this.lookAtWork();
    return this.lookAtRest(nowMs);
  }

  /** What the last look at the work found changed besides. */
  async lookAtRest(nowMs: number): Promise<JobWorld> {
    const since = utcDay(nowMs - RECENT_USE_DAYS * DAY_MS);
    await Promise.all([this.readReports(), this.readRest(since)]);
    const { jobs, attempts, held, observations, rest } = this;
    return { nowMs, jobs, attempts, held, observations, ...rest };
  }

  /** The next look reads all again. */
  forget(): void {
    this.mark = null;
  }

  /** What was changed by all looks since this was asked last. */
  takeTouched(): Touched {
    const { touched } = this;
    this.touched = new Touched();
    return touched;
  }

  private note(changed: Awaited<ReturnType<Rows['changes']['look']>>['changed']): void {
    if (changed === null) {
      this.staleTables = null;
      this.staleReports = null;
      this.touched.addAll();
      return;
    }
    for (const table of changed.tables) this.staleTables?.add(table);
    for (const id of changed.rows.observations) this.staleReports?.add(id);
    if (changed.tables.has('clusters')) this.touched.addAll();
    this.touched.addClusters(changed.rows.observations);
  }

  private async readAllWork(): Promise<void> {
    const specs = new Map([...this.jobs].map(([id, { spec }]) => [id, spec]));
    const [jobs, attempts] = await Promise.all([this.rows.jobs.active(specs), this.rows.attempts.live()]);
    replace(this.jobs, jobs);
    replace(this.attempts, attempts);
    this.held = HeldWork.of(this.jobs, this.attempts);
  }

  private async readWork(jobIds: ReadonlySet<string>, attemptIds: ReadonlySet<string>): Promise<void> {
    const [jobs, attempts] = await Promise.all([
      this.rows.jobs.findAll([...jobIds]),
      this.rows.attempts.findAll([...attemptIds]),
    ]);
    for (const id of attemptIds) this.touched.addJob(this.attempts.get(id)?.jobId);
    for (const { jobId } of attempts) this.touched.addJob(jobId);
    for (const id of jobIds) this.touched.addJob(id);
    update(
      this.jobs,
      jobIds,
      jobs.filter(({ phase }) => !isFinal(phase)).map((job) => this.withKnownSpec(job)),
    );
    update(
      this.attempts,
      attemptIds,
      attempts.filter(({ phase }) => phase !== 'Ended'),
    );
    for (const id of attemptIds) this.hold(id);
    for (const id of jobIds) {
      const attempt = this.held.attemptOf(id);
      if (attempt !== null) this.hold(attempt.id);
    }
  }

  private hold(attemptId: string): void {
    const attempt = this.attempts.get(attemptId);
    this.held.put(attemptId, attempt, attempt && this.jobs.get(attempt.jobId));
  }

  /** A spec never changes: what was worked out of it is kept with it. */
  private withKnownSpec(job: Job): Job {
    const known = this.jobs.get(job.id);
    return known === undefined ? job : { ...job, spec: known.spec };
  }

  private async readReports(): Promise<void> {
    const { staleReports } = this;
    this.staleReports = new Set();
    try {
      if (staleReports === null) {
        const read = await this.rows.observations.all();
        const present = new Set(read.map(({ clusterId }) => clusterId));
        for (const id of this.observations.keys()) if (!present.has(id)) this.observations.delete(id);
        for (const observation of read) this.keepReport(observation);
      } else if (staleReports.size > 0) {
        const read = await this.rows.observations.findAll([...staleReports]);
        for (const id of staleReports)
          if (!read.some(({ clusterId }) => clusterId === id)) this.observations.delete(id);
        for (const observation of read) this.keepReport(observation);
      }
    } catch (error) {
      this.staleReports = staleReports;
      throw error;
    }
  }

  private keepReport(observation: Observation): void {
    const { clusterId, report } = observation;
    const nodes = sameNodes(this.observations.get(clusterId)?.report.nodes, report.nodes);
    this.observations.set(clusterId, { ...observation, report: { ...report, nodes } });
  }

  private async readRest(since: string): Promise<void> {
    const { staleTables, rows } = this;
    const isDue = (table: string) => staleTables === null || staleTables.has(table);
    this.staleTables = new Set();
    const isUsageDue = isDue('queue_usage') || since !== this.usageSince;
    try {
      const [clusters, placements, deployments, queues, usage] = await Promise.all([
        isDue('clusters') ? rows.clusters.all() : null,
        isDue('placements') ? rows.placements.live() : null,
        isDue('deployments') ? rows.deployments.all() : null,
        isDue('queues') ? rows.queues.all() : null,
        isUsageDue ? rows.usage.since(since) : null,
      ]);
      this.rest = {
        clusters: clusters === null ? this.rest.clusters : byId(clusters),
        placements:
          placements === null ? this.rest.placements : sameRows(this.rest.placements, placements, samePlacement),
        deployments: deployments === null ? this.rest.deployments : byId(deployments),
        queues: queues ?? this.rest.queues,
        usage: usage ?? this.rest.usage,
      };
      this.usageSince = since;
    } catch (error) {
      this.staleTables = null;
      throw error;
    }
    // One that left has no say any more.
    for (const id of this.observations.keys()) if (!this.rest.clusters.has(id)) this.observations.delete(id);
  }
}

function replace<Row extends { readonly id: string }>(kept: Map<string, Row>, rows: readonly Row[]): void {
  const known = new Map(kept);
  kept.clear();
  for (const row of rows) kept.set(row.id, sameIfEqual(known.get(row.id), row));
}

/** @param rows those of `ids` that are still to be kept */
function update<Row extends { readonly id: string }>(
  kept: Map<string, Row>,
  ids: ReadonlySet<string>,
  rows: readonly Row[],
): void {
  const present = new Map(rows.map((row) => [row.id, row]));
  for (const id of ids) {
    const row = present.get(id);
    if (row === undefined) kept.delete(id);
    else kept.set(id, sameIfEqual(kept.get(id), row));
  }
}
