import { Module } from '@nestjs/common';
import { FleetTotals } from './fleet-totals.ts';
import { PriorityClassesController } from './priority-classes.controller.ts';
import { PriorityClasses } from './priority-classes.ts';
import { QueuesController } from './queues.controller.ts';
import { Queues } from './queues.ts';

@Module({
  controllers: [QueuesController, PriorityClassesController],
  providers: [FleetTotals, Queues, PriorityClasses],
})
export class QueuesModule {}
