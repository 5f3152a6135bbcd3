import type { ControlPlaneConfiguration } from '../configuration.ts';

/** The parts of the configuration that handlers need; secrets are not among them. */
export class Settings {
  readonly pickleAllowed: boolean;
  readonly uploadAbandonedAfterMs: number;
  readonly uploadBytesMax: number;
  readonly attemptBytesPerHourMax: number;
  readonly clusterLeaseSeconds: number;

  constructor(configuration: Pick<ControlPlaneConfiguration, 'blobs' | 'budgets'>) {
    this.pickleAllowed = configuration.blobs.pickleAllowed;
    this.uploadAbandonedAfterMs = configuration.blobs.uploadAbandonedAfterHours * 3_600_000;
    this.uploadBytesMax = configuration.blobs.uploadBytesMax;
    this.attemptBytesPerHourMax = configuration.blobs.attemptBytesPerHourMax;
    this.clusterLeaseSeconds = configuration.budgets.clusterLeaseHours * 3_600;
  }
}

/** Where others reach this API. Known once it listens: the system may have chosen the port. */
export class PublicAddress {
  #url: string | undefined;

  announce(url: string): void {
    this.#url = url.replace(/\/+$/, '');
  }

  /** Without a slash at the end. @throws Error before the process listens */
  get url(): string {
    if (this.#url === undefined) throw new Error('The public address is not known before the process listens.');
    return this.#url;
  }
}
