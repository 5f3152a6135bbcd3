import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Store } from '#domain';
import { FederationMetrics } from '../federation/metrics.ts';
import { OutcomesMemory } from '../federation/outcomes-memory.ts';
import { LeaderService, type Term } from '../leader/leader.service.ts';
import type { LoopOptions } from '../leader/loop.ts';
import { RolloutLoop } from './rollout-loop.ts';

/** Soaks end and outcomes come without anybody's notification; while nothing is rolled out a look is one small query. */
const ROLLOUTS_INTERVAL_MS = 1_000;
const ROLLOUTS_REST_MS = 50;

/** Has the leader bring rollouts forward. */
@Injectable()
export class RolloutLoops implements OnModuleInit {
  private readonly logger = new Logger('rollouts');

  constructor(
    private readonly store: Store,
    private readonly outcomes: OutcomesMemory,
    private readonly metrics: FederationMetrics,
    private readonly leader: LeaderService,
  ) {}

  onModuleInit(): void {
    this.leader.addLoops((term) => [this.loop(term)]);
  }

  private loop({ epoch, signal, clock, fleet }: Term): LoopOptions {
    const { store } = this;
    const rollouts = new RolloutLoop(store, epoch, this.outcomes, this.metrics, clock, fleet);
    return {
      name: 'rollouts',
      intervalMs: ROLLOUTS_INTERVAL_MS,
      restMs: ROLLOUTS_REST_MS,
      wakes: [(wake) => store.onChange('intent', wake), (wake) => store.onChange('observation', wake)],
      run: () => rollouts.run(signal),
      onError: (name, error) => this.logger.error(`${name}: ${String(error)}`),
    };
  }
}
