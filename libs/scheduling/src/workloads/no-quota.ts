/** The account of an installation that serves all queues as one: everything is admitted, and nobody has a share. */
import { QuotaAccount } from './ports.ts';

export class NoQuota extends QuotaAccount {
  override admits(): null {
    return null;
  }
  override charge(): void {}
  override refund(): void {}
  override mark(): number {
    return 0;
  }
  override rollback(): void {}
  override share(): number {
    return 0;
  }
  override isWithinNominal(): boolean {
    return false;
  }
  override borrowsBeside(): boolean {
    return true;
  }
  override mayReclaim(): null {
    return null;
  }
  override compare(): number {
    return 0;
  }
  override compareBorrowers(): number {
    return 0;
  }
  override usage(): Record<string, never> {
    return {};
  }
}
