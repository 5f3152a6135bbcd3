import { MessageContext } from '#messaging';

/** The cluster id in a message's subject: as true as the sender's credentials. Empty when there is none. */
export function clusterTokenOf(context: unknown): string {
  return context instanceof MessageContext ? (context.clusterToken ?? '') : '';
}
