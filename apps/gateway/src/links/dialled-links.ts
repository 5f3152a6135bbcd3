/**
 * Sockets that agents dialled and left idle, per cluster. An agent keeps a few waiting; the link pool takes one when it
 * needs a connection, and the agent dials another. Bounded per cluster: what is beyond is closed.
 *
 * Invariants: a socket has an error listener from its first moment here to its end (an error without one would end the
 * process), and what is handed out is alive and has not said a word: an idle peer that ends or speaks is cut, so that
 * its bytes can never be taken for the answer to a later request.
 */
import type { Socket } from 'node:net';

export const IDLE_LINKS_MAX = 64;
/** Finds peers that vanished without a word, and keeps middleboxes from forgetting the connection. */
const KEEP_ALIVE_AFTER_MS = 15_000;

interface IdleLink {
  readonly socket: Socket;
  /** The NATS identity that the agent proved. */
  readonly publicKey: string;
  /** Takes the idle listeners off. */
  readonly release: () => void;
}

export class DialledLinks {
  private readonly idle = new Map<string, IdleLink[]>();
  private readonly arrivalListeners = new Set<(clusterId: string) => void>();
  private closed = false;

  /** Takes an authenticated socket into the pool of its cluster. */
  add(clusterId: string, publicKey: string, socket: Socket): void {
    socket.on('error', () => undefined); // 'close' follows and is what counts
    const links = this.idle.get(clusterId) ?? [];
    if (this.closed || links.length >= IDLE_LINKS_MAX || socket.destroyed) {
      socket.destroy();
      return;
    }
    socket.setKeepAlive(true, KEEP_ALIVE_AFTER_MS);
    const link: IdleLink = { socket, publicKey, release: this.watch(clusterId, socket) };
    links.push(link);
    this.idle.set(clusterId, links);
    for (const listener of this.arrivalListeners) listener(clusterId);
  }

  /** The newest idle socket: the least likely to have been cut by a middlebox. Null when there is none. */
  take(clusterId: string): Socket | null {
    for (;;) {
      const link = this.idle.get(clusterId)?.at(-1);
      if (link === undefined) return null;
      this.remove(clusterId, link.socket);
      if (!link.socket.destroyed && link.socket.readable && link.socket.writable && link.socket.readableLength === 0) {
        return link.socket;
      }
      link.socket.destroy();
    }
  }

  /** Called after a socket came, with its cluster. */
  onArrival(listener: (clusterId: string) => void): void {
    this.arrivalListeners.add(listener);
  }

  idleCount(clusterId: string): number {
    return this.idle.get(clusterId)?.length ?? 0;
  }

  clusterIds(): Iterable<string> {
    return this.idle.keys();
  }

  /** Cuts idle sockets whose cluster or key is no longer allowed. */
  retain(isAllowed: (clusterId: string, publicKey: string) => boolean): void {
    for (const [clusterId, links] of this.idle) {
      for (const { socket, publicKey } of [...links]) if (!isAllowed(clusterId, publicKey)) socket.destroy();
    }
  }

  /** Cuts what is idle and whatever still comes. */
  close(): void {
    this.closed = true;
    this.retain(() => false);
  }

  private watch(clusterId: string, socket: Socket): () => void {
    const onClose = () => this.remove(clusterId, socket);
    // Reading null at the end of the stream makes 'end' come; anything else is a peer that speaks out of turn.
    const onReadable = () => {
      if (socket.read() !== null) socket.destroy();
    };
    const onEnd = () => socket.destroy();
    socket.on('close', onClose).on('end', onEnd).on('readable', onReadable);
    return () => socket.off('close', onClose).off('end', onEnd).off('readable', onReadable);
  }

  private remove(clusterId: string, socket: Socket): void {
    const links = this.idle.get(clusterId);
    const index = links?.findIndex((link) => link.socket === socket) ?? -1;
    if (links === undefined || index === -1) return;
    links.splice(index, 1)[0]!.release();
    if (links.length === 0) this.idle.delete(clusterId);
  }
}
