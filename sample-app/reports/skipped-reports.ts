import { Injectable } from '@nestjs/common';
import { Cron } from '@nestjs/schedule';
import { LeaderService } from 'nestjs-dist-lock';
import { clockTime } from '../print.js';
import { Replica } from '../replica.js';
import { currentTick, NIGHTLY } from './schedule.js';

/** Reports each skipped run, for the demonstration only: `@LeaderOnly()` itself skips in silence. */
@Injectable()
export class SkippedReports {
  count = 0;

  constructor(
    private readonly leader: LeaderService,
    private readonly replica: Replica,
  ) {}

  @Cron(NIGHTLY)
  report(): void {
    if (this.leader.isLeader()) return;
    this.count++;
    const { leader } = this.leader.state;
    const why = leader ? `${leader.id} leads` : 'no leader is known';
    this.replica.whisper(`skips the nightly report of ${clockTime(currentTick())}: ${why}`);
  }
}
