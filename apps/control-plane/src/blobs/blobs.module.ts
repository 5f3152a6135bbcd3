import { Module } from '@nestjs/common';
import { BlobsController } from './blobs.controller.ts';
import { BlobsJanitor } from './janitor.ts';
import { BlobUploads } from './uploads.ts';

@Module({ controllers: [BlobsController], providers: [BlobsJanitor, BlobUploads] })
export class BlobsModule {}
