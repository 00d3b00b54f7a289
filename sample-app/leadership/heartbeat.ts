import { Injectable, type OnModuleInit } from '@nestjs/common';
import { LeaderService } from 'nestjs-dist-lock';
import { map, timer } from 'rxjs';
import { Replica } from '../replica.js';

const EVERY = 5000;

/** A stream that runs on the leader only: it begins and ends with each term. */
@Injectable()
export class Heartbeat implements OnModuleInit {
  constructor(
    private readonly leader: LeaderService,
    private readonly replica: Replica,
  ) {}

  onModuleInit(): void {
    this.leader
      .whileLeader((term) => timer(EVERY, EVERY).pipe(map((beat) => ({ term: term.number, beat: beat + 1 }))))
      .subscribe(({ term, beat }) => this.replica.log(`heartbeat ${beat} of term ${term}`));
  }
}
