import { Module } from '@nestjs/common';
import { AliasesController } from './aliases.controller.ts';
import { Aliases } from './aliases.ts';
import { ModelsController } from './models.controller.ts';
import { Models } from './models.ts';
import { VersionsController } from './versions.controller.ts';
import { Versions } from './versions.ts';

@Module({
  controllers: [ModelsController, VersionsController, AliasesController],
  providers: [Models, Versions, Aliases],
})
export class ModelsModule {}
