// Stateless challenges: a nonce that says itself until when it counts, signed with a key of the installation's pepper, so
// that any control plane of the installation can check it, by the installation's clock (ADR 25).

import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { CHALLENGE_SECONDS } from '#contracts';
import { verifyProof } from '#messaging';
import { RequestError } from '../errors.ts';
import { Secrets } from '../secrets/secrets.ts';

export interface ProvenRequest {
  readonly publicKey: string;
  readonly nonce: string;
  readonly signature: string;
}

@Injectable()
export class Challenge {
  constructor(private readonly secrets: Secrets) {}

  issue(nowMs: number): { nonce: string; expiresInSeconds: number } {
    const text = `${Math.floor(nowMs / 1_000) + CHALLENGE_SECONDS}.${randomBytes(16).toString('base64url')}`;
    return { nonce: `${text}.${this.secrets.signChallenge(text)}`, expiresInSeconds: CHALLENGE_SECONDS };
  }

  /**
   * Demands that the sender holds the key it names and signed this very body.
   *
   * @throws RequestError 401, without saying which part was wrong beyond what helps an honest agent
   */
  demandProof(request: ProvenRequest, nowMs: number): void {
    const { publicKey, nonce, signature, ...body } = request;
    if (!this.#isInForce(nonce, nowMs)) {
      throw unproven('The nonce is unknown or older than 60 s; get a new one from GET /api/v1/agent/challenge.');
    }
    if (!verifyProof({ publicKey, nonce, signature, body })) {
      throw unproven('The signature does not prove the public key for this nonce and body.');
    }
  }

  #isInForce(nonce: string, nowMs: number): boolean {
    const [expires = '', random = '', signature = ''] = nonce.split('.');
    const isOurs = this.secrets.signChallenge(`${expires}.${random}`) === signature;
    return isOurs && nonce.split('.').length === 3 && Number(expires) * 1_000 > nowMs;
  }
}

function unproven(detail: string): RequestError {
  return new RequestError(401, 'unproven', detail);
}
