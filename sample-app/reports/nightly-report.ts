import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Cron } from '@nestjs/schedule';
import { LeaderOnly } from 'nestjs-dist-lock';
import { clockTime } from '../print.js';
import { Replica } from '../replica.js';
import { currentTick, NIGHTLY } from './schedule.js';

export interface ReportRun {
  /** The second for which the run was scheduled. */
  readonly tick: Date;
  readonly startedAt: Date;
}

const REMEMBERED = 100;

@Injectable()
export class NightlyReport {
  /** The latest runs on this replica. */
  readonly runs: ReportRun[] = [];

  constructor(private readonly replica: Replica) {}

  /** Fires on every replica, and runs on the leader. A new leader runs the newest report that nobody ran. */
  @Cron(NIGHTLY)
  @LeaderOnly({ catchUp: true })
  async run(): Promise<void> {
    const tick = currentTick();
    this.runs.push({ tick, startedAt: new Date() });
    if (this.runs.length > REMEMBERED) this.runs.shift();
    await sleep(100);
    this.replica.log(`wrote the nightly report of ${clockTime(tick)}`);
  }
}
