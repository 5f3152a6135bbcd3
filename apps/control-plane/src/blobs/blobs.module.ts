import { Module } from '@nestjs/common';
import { BlobsController } from './blobs.controller.ts';
import { BlobsJanitor } from './janitor.ts';

@Module({ controllers: [BlobsController], providers: [BlobsJanitor] })
export class BlobsModule {}
