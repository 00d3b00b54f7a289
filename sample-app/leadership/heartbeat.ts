import { Injectable, type OnModuleInit } from '@nestjs/common';
import { LeaderService } from 'nestjs-dist-lock';
import { map, timer } from 'rxjs';
import { Replica } from '../replica.js';

const EVERY = 5000;

/** A stream that runs on the leader only: it starts with each of its terms, and ends with them. */
@Injectable()
export class Heartbeat implements OnModuleInit {
  constructor(
    private readonly leader: LeaderService,
    private readonly replica: Replica,
  ) {}

  onModuleInit(): void {
    this.leader
      .whileLeader((term) => timer(EVERY, EVERY).pipe(map((beat) => ({ term: term.number, beat: beat + 1 }))))
      .subscribe(({ term, beat }) => this.replica.tell(`heartbeat ${beat} of term ${term}`));
  }
}
