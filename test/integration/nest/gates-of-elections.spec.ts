import { Controller, Get, Injectable } from '@nestjs/common';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { CronJob } from 'cron';
import { InjectLeader, LeaderOnly, LeaderService } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { leading, serve, start, startLeader } from '../../support/nest/app.js';

let driver: MemoryDriver;
let ran: string[];

beforeEach(() => {
  driver = new MemoryDriver();
  ran = [];
});

describe('@LeaderOnly with the name of an election', () => {
  @Controller()
  class Reports {
    constructor(
      readonly leader: LeaderService,
      @InjectLeader('reports') readonly reports: LeaderService,
    ) {}

    @Get('default')
    @LeaderOnly()
    async ofDefault(): Promise<string> {
      return 'default';
    }

    @Get('reports')
    @LeaderOnly('reports')
    async ofReports(): Promise<string> {
      return 'reports';
    }

    @Cron('0 0 1 1 *')
    @LeaderOnly({ election: 'reports' })
    async nightly(): Promise<void> {
      ran.push('nightly');
    }
  }

  it('asks that one, whoever leads the others', async () => {
    const elections = [{ name: 'default' }, { name: 'reports' }];
    const locks = { driver, elections, instance: { id: 'a', allowedUrls: ['http://b.test'] } };
    const { app, url } = await serve({ locks, controllers: [Reports] });
    const { leader, reports } = app.get(Reports);
    for (const each of [leader, reports]) await firstValueFrom(each.isLeader$.pipe(filter(Boolean)));
    const other = await start({
      locks: { ...locks, instance: { id: 'b', url: 'http://b.test' } },
      controllers: [Reports],
    });
    await firstValueFrom(other.get(Reports).reports.leader$.pipe(filter((member) => member?.id === 'a')));

    await reports.resign();
    await firstValueFrom(reports.leader$.pipe(filter((member) => member?.id === 'b')));
    expect([(await fetch(`${url}/default`)).status, (await fetch(`${url}/reports`)).status]).toEqual([200, 503]);
    expect((await fetch(`${url}/reports`)).headers.get('x-leader')).toBe('http://b.test');
    await app.get(Reports).nightly();
    expect(ran).toEqual([]);
    await other.get(Reports).nightly();
    expect(ran).toEqual(['nightly']);
  });
});

describe('a job that is added at run time', () => {
  @Injectable()
  class Dynamic {
    constructor(
      private readonly jobs: SchedulerRegistry,
      private readonly leader: LeaderService,
    ) {}

    add(name: string): CronJob {
      const job = CronJob.from({
        cronTime: '0 0 0 1 1 *',
        waitForCompletion: true,
        onTick: () =>
          this.leader.runAsLeader(async ({ signal }) => {
            ran.push(`${name} ${signal.aborted ? 'late' : 'in its term'}`);
          }),
      });
      this.jobs.addCronJob(name, job);
      return job;
    }
  }

  it('runs on the leader when its callback is run by runAsLeader()', async () => {
    const other = await startLeader(driver);
    const app = await start({ locks: { driver }, imports: [ScheduleModule.forRoot()], providers: [Dynamic] });
    const job = app.get(Dynamic).add('dynamic');
    await job.fireOnTick();
    expect(ran).toEqual([]);
    await other.close();
    await leading(app);
    await job.fireOnTick();
    expect(ran).toEqual(['dynamic in its term']);
  });
});
