import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { DeviceCounts, DeviceType, PreemptionPolicy, PriorityClass, Queue, QueueOrder } from '#domain';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'queues' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'queues_tenant_fk' })
@ForeignKey(() => QueueRow, ['parentId'], ['id'], { name: 'queues_parent_fk' })
@Check('queues_weight_check', 'weight >= 0')
@Check('queues_ordering_check', "ordering IN ('fcfs', 'static-priority', 'dynamic-weighted', 'class-shortest', 'c-mu')")
@Unique('queues_name_unique', ['tenantId', 'name'])
export class QueueRow implements Queue {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('uuid', { nullable: true }) parentId!: string | null;
  @Column('double precision') weight!: number;
  @Column('jsonb') quota!: DeviceCounts;
  @Column('jsonb', { nullable: true }) borrowingLimit!: DeviceCounts | null;
  @Column('jsonb', { nullable: true }) lendingLimit!: DeviceCounts | null;
  /** `order` is a word of SQL. */
  @Column('text', { name: 'ordering' }) order!: QueueOrder;
  @Column('boolean') paused!: boolean;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'priority_classes' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'priority_classes_tenant_fk' })
@Check('priority_classes_priority_check', 'priority BETWEEN 0 AND 10')
@Check('priority_classes_preemption_check', "preemption IN ('lower-priority', 'never')")
@Unique('priority_classes_name_unique', ['tenantId', 'name'])
export class PriorityClassRow implements PriorityClass {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('integer') priority!: number;
  @Column('text') preemption!: PreemptionPolicy;
  @Column('boolean') preemptible!: boolean;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

/** What queues were called that are gone and of which usage is kept. */
@Entity({ name: 'removed_queues' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'removed_queues_tenant_fk' })
@Index('removed_queues_tenant_index', ['tenantId'])
export class RemovedQueueRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
}

@Entity({ name: 'queue_usage' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'queue_usage_tenant_fk' })
@Index('queue_usage_day_index', ['day'])
export class QueueUsageRow {
  @PrimaryColumn('uuid') tenantId!: string;
  @PrimaryColumn('uuid') queueId!: string;
  @PrimaryColumn('text') deviceType!: DeviceType;
  @PrimaryColumn('date') day!: string;
  @Column('double precision') jobDeviceSeconds!: number;
  @Column('double precision') servingDeviceSeconds!: number;
  @Column('double precision') lostDeviceSeconds!: number;
}
