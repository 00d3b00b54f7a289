import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { CurrentLock, type Lock, WithLock } from 'nestjs-dist-lock';
import { Replica } from '../replica.js';
import { type Charge, OrderStore } from './order-store.js';

export interface ChargeResult extends Charge {
  readonly status: 'charged' | 'already-charged';
}

@Injectable()
export class OrdersService {
  constructor(
    private readonly orders: OrderStore,
    private readonly replica: Replica,
  ) {}

  /** Reads, waits, and writes. Without the lock two requests would both find no charge, and both charge. */
  @WithLock('order:{0}')
  async charge(id: string, @CurrentLock() lock?: Lock): Promise<ChargeResult> {
    await using _counted = await this.orders.enter(id);
    const { charges } = await this.orders.find(id);
    if (charges[0]) return { status: 'already-charged', ...charges[0] };

    await requestPayment(id, lock!.signal);
    const charge = { by: this.replica.name, fencingToken: lock!.fencingToken };
    await this.orders.save(id, charge);
    this.replica.log(`charged order ${id} (fencing token ${charge.fencingToken})`);
    return { status: 'charged', ...charge };
  }
}

/** Takes the time of a payment provider. Ends early when the lock is lost. */
async function requestPayment(_id: string, signal: AbortSignal): Promise<void> {
  await sleep(150, undefined, { signal });
}
