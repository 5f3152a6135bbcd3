import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { SUBJECTS } from '#contracts';
import { clusterTokenOf } from './cluster-token.ts';
import { ReportIntake } from './report-intake.ts';

/** One of the control planes takes each report; it goes to Postgres, so it does not matter which. */
@Controller()
export class ReportController {
  constructor(private readonly intake: ReportIntake) {}

  @EventPattern(SUBJECTS.report('*'), { queue: 'control-plane' })
  async take(@Payload() value: unknown, @Ctx() context: unknown): Promise<void> {
    await this.intake.take(clusterTokenOf(context), value);
  }
}
