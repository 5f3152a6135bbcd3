import { Controller, Get, Param } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type AgreementDto, agreementSchema, nameSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { Agreement } from './agreement.ts';

@ApiTags('models')
@Controller('api/v1/models/:model/agreement')
export class AgreementController {
  constructor(private readonly agreement: Agreement) {}

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'The version vector: what every cluster holds, serves and lacks of this model' })
  @ApiResponse({ status: 200, standardSchema: agreementSchema })
  show(@Param('model', { schema: nameSchema }) model: string, @CurrentActor() actor: Actor): Promise<AgreementDto> {
    return this.agreement.show(actor.tenantId, model);
  }
}
