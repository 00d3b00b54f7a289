import { Controller, Get } from '@nestjs/common';
import { LeaderService, type Role } from 'nestjs-dist-lock';
import { Replica } from '../replica.js';
import { NightlyReport, type ReportRun } from '../reports/nightly-report.js';
import { SkippedReports } from '../reports/skipped-reports.js';

export interface Status {
  readonly instance: string;
  readonly role: Role;
  /** The id of the leader that this replica knows of. */
  readonly leader: string | null;
  /** The number of the term while this replica leads; else null. */
  readonly term: number | null;
  readonly reports: { readonly run: readonly ReportRun[]; readonly skipped: number };
}

@Controller('status')
export class StatusController {
  constructor(
    private readonly replica: Replica,
    private readonly leader: LeaderService,
    private readonly report: NightlyReport,
    private readonly skipped: SkippedReports,
  ) {}

  @Get()
  status(): Status {
    const { role, leader, term } = this.leader.state;
    return {
      instance: this.replica.name,
      role,
      leader: leader?.id ?? null,
      term: term?.number ?? null,
      reports: { run: this.report.runs, skipped: this.skipped.count },
    };
  }
}
