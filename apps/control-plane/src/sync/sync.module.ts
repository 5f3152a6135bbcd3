import { Module } from '@nestjs/common';
import { AgreementController } from '../agreement/agreement.controller.ts';
import { Agreement } from '../agreement/agreement.ts';
import { VersionSyncController } from './version-sync.controller.ts';
import { VersionSync } from './version-sync.ts';
import { SystemClock, WallClock } from './wall-clock.ts';

/** What operators see of sync; what agents are answered is part of the federation. */
@Module({
  controllers: [VersionSyncController, AgreementController],
  providers: [{ provide: WallClock, useClass: SystemClock }, VersionSync, Agreement],
})
export class SyncModule {}
