import { Injectable } from '@nestjs/common';
import { type Member, OnNewLeader, OnStartedLeading, OnStoppedLeading, type StartedLeading } from 'nestjs-dist-lock';
import { Replica } from '../replica.js';

/** Reports the leader that this replica knows of. */
@Injectable()
export class LeadershipLog {
  constructor(private readonly replica: Replica) {}

  @OnStartedLeading()
  started({ term }: StartedLeading): void {
    this.replica.announce(`★ leads (term ${term.number})`);
  }

  /** The hand-over waits for this method. */
  @OnStoppedLeading()
  stopped(reason: string): void {
    this.replica.announce(`☆ hands over: ${reason}`);
  }

  @OnNewLeader()
  newLeader({ id }: Member): void {
    if (id !== this.replica.name) this.replica.log(`follows ${id}`);
  }
}
