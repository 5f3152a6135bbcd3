import { Module } from '@nestjs/common';
import { FleetDevicesReader } from './fleet-devices.ts';
import { PriorityClassesController } from './priority-classes.controller.ts';
import { PriorityClasses } from './priority-classes.ts';
import { QueuesController } from './queues.controller.ts';
import { Queues } from './queues.ts';

@Module({
  controllers: [QueuesController, PriorityClassesController],
  providers: [FleetDevicesReader, Queues, PriorityClasses],
  exports: [FleetDevicesReader, Queues],
})
export class QueuesModule {}
