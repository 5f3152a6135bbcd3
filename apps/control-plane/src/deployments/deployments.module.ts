import { Module } from '@nestjs/common';
import { DeploymentsController } from './deployments.controller.ts';
import { Deployments } from './deployments.ts';

@Module({ controllers: [DeploymentsController], providers: [Deployments] })
export class DeploymentsModule {}
