import { Global, Module } from '@nestjs/common';
import { Authentication } from './authentication.ts';

@Global()
@Module({ providers: [Authentication], exports: [Authentication] })
export class AuthModule {}
