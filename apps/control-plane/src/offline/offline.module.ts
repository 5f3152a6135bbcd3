import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { BundleController } from './bundle.controller.ts';
import { Bundles } from './bundles.ts';

@Module({ imports: [FederationModule], controllers: [BundleController], providers: [Bundles] })
export class OfflineModule {}
