/**
 * One shutdown sequence a process: stop intake → drain → close NATS → close pool. Named steps in order, each with a
 * bound; a step that fails or overruns is logged and the next one goes on. It runs at most once; a second signal ends
 * the process at once.
 */
import type { Logger } from './logs.ts';

export interface ShutdownStep {
  readonly name: string;
  readonly boundMs: number;
  readonly run: () => Promise<unknown> | unknown;
}

export interface StepReport {
  readonly name: string;
  readonly outcome: 'done' | 'failed' | 'overran';
  readonly elapsedMs: number;
}

export class ShutdownSequence {
  private readonly steps: ShutdownStep[] = [];
  private running: Promise<readonly StepReport[]> | null = null;

  constructor(private readonly logger: Logger) {}

  /** Adds a step behind those there are. */
  add(name: string, boundMs: number, run: ShutdownStep['run']): this {
    this.steps.push({ name, boundMs, run });
    return this;
  }

  /** Runs the steps, the first time; later calls await the same run. Never rejects. */
  run(reason: string): Promise<readonly StepReport[]> {
    this.running ??= this.runAll(reason);
    return this.running;
  }

  private async runAll(reason: string): Promise<readonly StepReport[]> {
    this.logger.info({ reason }, 'stopping');
    const reports: StepReport[] = [];
    for (const step of this.steps) reports.push(await this.runStep(step));
    this.logger.info({ steps: reports }, 'stopped');
    return reports;
  }

  private async runStep(step: ShutdownStep): Promise<StepReport> {
    const startedAtMs = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const overrun = new Promise<'overran'>((resolve) => {
      timer = setTimeout(() => resolve('overran'), step.boundMs);
    });
    const work = Promise.resolve()
      .then(step.run)
      .then(
        () => 'done' as const,
        (error: unknown) => {
          this.logger.error({ err: error, step: step.name }, 'a step of the shutdown failed');
          return 'failed' as const;
        },
      );
    const outcome = await Promise.race([work, overrun]);
    clearTimeout(timer);
    if (outcome === 'overran')
      this.logger.error({ step: step.name, boundMs: step.boundMs }, 'a step of the shutdown took too long');
    return { name: step.name, outcome, elapsedMs: Math.round(performance.now() - startedAtMs) };
  }
}

/** SIGTERM and SIGINT run the sequence and exit 0; a second one exits 1 at once; what nobody caught exits 1 after it. */
export function installSignalHandlers(sequence: ShutdownSequence, logger: Logger): void {
  let signalled = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (signalled) process.exit(1);
    signalled = true;
    sequence.run(signal).then(
      (reports) => process.exit(reports.every((report) => report.outcome === 'done') ? 0 : 1),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const onCrash = (kind: string) => (error: unknown) => {
    logger.fatal({ err: error, kind }, 'this is a bug; stopping');
    const exit = () => process.exit(1);
    sequence.run(kind).then(exit, exit);
  };
  process.on('uncaughtException', onCrash('uncaughtException'));
  process.on('unhandledRejection', onCrash('unhandledRejection'));
}
