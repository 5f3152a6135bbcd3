// Public face of libs/messaging.
export type { NatsConnection } from '@nats-io/transport-node';
export * from './connection.ts';
export {
  type IssueUserJwtOptions,
  issueUserJwt,
  pushAccountJwt,
  type Revocation,
  readUserJwt,
  readUserPermissions,
  revokeUsers,
  type UserIdentity,
} from './credentials.ts';
export { assessDurability, type Durability, readDurability } from './durability.ts';
export * from './errors.ts';
export {
  type ConsumeEventsOptions,
  consumeEvents,
  EVENT_STREAM,
  type EventConsumption,
  type EventStreamBounds,
  ensureEventStream,
  publishEvent,
  type ReceivedEvent,
} from './events.ts';
export { publishJson, type ReceivedJson, requestJson, subscribeJson } from './exchange.ts';
export {
  createIdentity,
  identityFromSeed,
  type NatsIdentity,
  type Proof,
  proveIdentity,
  verifyProof,
} from './identity.ts';
export { type AcceptLinkOptions, acceptLink, isLinkRequest } from './link/accept.ts';
export { type DialLinkOptions, dialLink, type Link } from './link/dial.ts';
export { LINK_PATH, LINK_PROTOCOL, type LinkTrust } from './link/trust.ts';
export { isUserPublicKey, type NatsKey } from './nats-jwt.ts';
export { createNatsOperator, type NatsOperator } from './operator.ts';
export { readOperatorFiles, writeOperatorFiles } from './operator-files.ts';
export { inboxPrefixOf, type NatsPermissions, type NatsRole, natsRoles, permissionTables } from './permissions.ts';
export { renderServerConfiguration, type ServerConfigurationOptions } from './server-configuration.ts';
export {
  type DropReason,
  type HandlerExtras,
  MessageContext,
  NatsTransportStrategy,
  type NatsTransportStrategyOptions,
  refuse,
} from './strategy.ts';
