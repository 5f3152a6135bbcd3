import { Module } from '@nestjs/common';
import { ModelsController } from './models.controller.ts';
import { Models } from './models.ts';
import { VersionsController } from './versions.controller.ts';
import { Versions } from './versions.ts';

@Module({ controllers: [ModelsController, VersionsController], providers: [Models, Versions] })
export class ModelsModule {}
