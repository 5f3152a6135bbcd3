import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { OUTCOMES_BYTES_MAX, outcomesSchema, SUBJECTS } from '#contracts';
import { FederationMetrics } from './metrics.ts';
import { OutcomesMemory } from './outcomes-memory.ts';

/** Every control plane hears all outcomes: whichever leads can judge rollouts. */
@Controller()
export class OutcomesController {
  constructor(
    private readonly memory: OutcomesMemory,
    private readonly metrics: FederationMetrics,
  ) {}

  @EventPattern(SUBJECTS.outcomes)
  take(@Payload() value: unknown): void {
    const verdict = this.judge(value);
    if (verdict === 'taken') this.metrics.taken('outcomes');
    else this.metrics.dropped('outcomes', verdict);
  }

  private judge(value: unknown): 'taken' | 'stale' | 'malformed' | 'too-large' {
    const parsed = outcomesSchema.safeParse(value);
    if (!parsed.success) return 'malformed';
    if (JSON.stringify(parsed.data).length > OUTCOMES_BYTES_MAX) return 'too-large';
    return this.memory.take(parsed.data);
  }
}
