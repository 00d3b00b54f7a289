import { Injectable } from '@nestjs/common';
import { DistLockModule, LeaderOnly } from 'nestjs-dist-lock';
import { expect, it, vi } from 'vitest';
import { start } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

it('a worker that cannot be paused is reported with the name of the registration', async () => {
  const worker = {
    pause: () => Promise.reject(new Error('The connection is closed.')),
    resume: () => undefined,
    isPaused: () => false,
    isRunning: () => false,
  };

  @LeaderOnly({ registration: 'jobs' })
  @Reflect.metadata('bullmq:processor_metadata', {})
  @Injectable()
  class Reports {
    readonly worker = worker;
    async process(): Promise<void> {}
  }

  const logger = new RecordingLogger();
  const jobs = DistLockModule.forRoot({ name: 'jobs', elections: [{ autoCampaign: false }] });
  await start({ providers: [Reports], logger, imports: [jobs] });
  await vi.waitFor(() => expect(logger.texts('error')).toHaveLength(1));
  expect(logger.lines.find(({ level }) => level === 'error')).toMatchObject({ context: 'DistLock(jobs)' });
});
