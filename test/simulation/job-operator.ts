/**
 * People who submit jobs – single ones, gangs, chains and diamonds, in several queues and classes – and change their minds
 * about them and about quotas. What was acknowledged is kept in mind: no such job may get lost (invariant 1).
 */
import { createJobSchema } from '#contracts';
import { DEFAULT_QUEUE_NAME, isFinal, type Job, RefusedError } from '#domain';
import type { JobIntent } from '../../apps/control-plane/src/jobs/jobs.ts';
import { WORK_VARIABLE } from './commands.ts';
import type { ControlPlane } from './control-plane.ts';
import { ACTOR, type Operator } from './operator.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

export const QUEUES = [DEFAULT_QUEUE_NAME, 'research', 'batch'] as const;
const CLASSES = ['low', 'low', 'normal', 'normal', 'high', 'critical'];
const JOBS_MAX = 24;
/** Once the faults are over, what people have stopped may go on. */
const CONCLUDE_EVERY_SECONDS = 5;

type Shape = Readonly<Record<string, unknown>>;

export class JobOperator {
  /** Names of jobs that were acknowledged. */
  readonly acknowledged = new Set<string>();
  /** Share of jobs that run for longer than any silence is waited for. */
  longShare = 0.1;
  private readonly busy = new Set<string>();
  private submitted = 0;
  private calmSeconds = 0;

  constructor(
    private readonly world: World,
    private readonly requests: Pick<Operator, 'untilAnswered'>,
    private readonly tables: () => Tables,
  ) {}

  /** One random change of mind. */
  act(): void {
    const { world } = this;
    const dice = world.random();
    const known = [...this.tables().jobs.values()].filter(({ name }) => this.acknowledged.has(name));
    const job = known.length === 0 ? undefined : world.pick(known);
    if (dice < 0.5 || job === undefined) this.submit();
    else if (dice < 0.6) this.changeQueue();
    else if (isFinal(job.phase)) this.intend(job, 'retry');
    else this.intend(job, world.pick(['cancel', 'suspend', 'suspend', 'resume', 'resume'] as const));
  }

  /** Each second after the faults: what is suspended or paused goes on, and quotas are wide again. */
  conclude(): void {
    this.calmSeconds += 1;
    if (this.calmSeconds % CONCLUDE_EVERY_SECONDS !== 0) return;
    for (const job of this.tables().jobs.values()) {
      if (!isFinal(job.phase) && job.suspended && job.cancelRequestedAt === null) this.intend(job, 'resume');
    }
    for (const { name, paused, borrowingLimit } of this.tables().queues.values()) {
      if (paused || borrowingLimit !== null) this.update(name, { paused: false, borrowingLimit: null });
    }
  }

  private submit(): void {
    const { world } = this;
    if (this.submitted >= JOBS_MAX) return;
    this.submitted += 1;
    const name = `j${this.submitted}`;
    const wanted = createJobSchema.parse({ name, ...this.randomJob() });
    const { tasks, claim, dependsOn } = wanted;
    const after = dependsOn.length === 0 ? '' : `, after ${dependsOn.map(({ job }) => job).join(', ')}`;
    const count = claim === 'auto' ? 0 : claim.count;
    world.say(
      `operator: submit ${name} to ${wanted.queue} as ${wanted.priorityClass}, ${tasks.size} × ${count}${after}`,
    );
    this.ask(
      `job ${name}`,
      (plane) => plane.jobs.submit(ACTOR, wanted, `submit-${name}`),
      () => this.acknowledged.add(name),
    );
  }

  private randomJob(): Shape {
    const { world } = this;
    const size = world.chance(0.3) ? world.between(2, 4) : 1;
    const hasCheckpoints = world.chance(0.7);
    return {
      queue: world.pick(QUEUES),
      priorityClass: world.pick(CLASSES),
      dependsOn: this.randomDependencies(),
      tasks: { size, minimum: world.chance(0.3) ? 1 : size },
      claim: {
        deviceType: 'cpu',
        count: world.pick([1, 1, 2, size === 1 ? 4 : 1]),
        schedulingPolicy: { topologyScope: 'node' },
      },
      command: ['work'],
      environment: {
        [WORK_VARIABLE]: String(world.chance(this.longShare) ? world.between(120, 160) : world.between(1, 45)),
      },
      mounts: world.chance(0.2) ? { base: { model: 'chat', version: world.between(1, 3) } } : {},
      checkpoint: {
        mode: hasCheckpoints ? 'file' : 'none',
        intervalSeconds: hasCheckpoints && world.chance(0.5) ? 10 : null,
      },
      graceSeconds: world.pick([2, 5, 10]),
      retry: { limit: world.between(0, 3), backoffSeconds: world.between(0, 4) },
      runDeadlineSeconds: world.chance(0.1) ? 30 : null,
      startDeadlineSeconds: world.chance(0.1) ? 60 : null,
      output: { required: world.chance(0.3) },
      expectedSeconds: world.chance(0.5) ? world.between(1, 60) : null,
      preemptionsMax: world.between(0, 3),
      protectedSeconds: 20,
      lostAfterSeconds: world.pick([15, 45, 90]),
    };
  }

  private randomDependencies(): Shape[] {
    const { world } = this;
    const names = [...this.acknowledged];
    if (names.length === 0 || !world.chance(0.25)) return [];
    const chosen = new Set([world.pick(names), world.pick(names)]);
    return [...chosen].map((job) => ({ job, when: world.pick(['success', 'always']) }));
  }

  private intend({ name }: Job, intent: JobIntent): void {
    if (this.busy.has(name)) return;
    this.busy.add(name);
    this.world.say(`operator: ${intent} ${name}`);
    this.ask(
      `job ${name}`,
      (plane) => plane.jobs.intend(ACTOR, { name, ifMatch: undefined }, intent),
      () => this.busy.delete(name),
    );
  }

  private changeQueue(): void {
    const { world } = this;
    const change = world.pick<Shape>([
      { quota: { cpu: world.between(0, 8) } },
      { borrowingLimit: { cpu: world.between(0, 4) } },
      { weight: world.between(0, 3) },
      { paused: world.chance(0.5) },
    ]);
    this.update(world.pick(QUEUES), change);
  }

  private update(name: string, change: Shape): void {
    if (this.busy.has(`queue ${name}`)) return;
    this.busy.add(`queue ${name}`);
    this.world.say(`operator: queue ${name} ${JSON.stringify(change)}`);
    this.ask(
      `queue ${name}`,
      (plane) => plane.queues.update(ACTOR, { name, ifMatch: undefined }, change),
      () => this.busy.delete(`queue ${name}`),
    );
  }

  /** What cannot be meanwhile is refused, which answers the request as well. What is malformed is our own mistake. */
  private ask(what: string, ask: (plane: ControlPlane) => Promise<unknown>, done: () => void): void {
    const answered = (error: unknown) => {
      if (!(error instanceof RefusedError)) throw error;
      if (error.refusal.refused === 'invalid')
        this.world.broken(`${what} is refused: ${JSON.stringify(error.refusal)}`);
    };
    this.requests.untilAnswered(what, (plane) => ask(plane).catch(answered), done);
  }
}
