import { Module } from '@nestjs/common';
import { LeaderModule } from '../leader/leader.module.ts';
import { ArtifactsController } from './artifacts.controller.ts';
import { Artifacts } from './artifacts.ts';
import { RegistryLoops } from './registry-loops.ts';

@Module({ imports: [LeaderModule], controllers: [ArtifactsController], providers: [Artifacts, RegistryLoops] })
export class ArtifactsModule {}
