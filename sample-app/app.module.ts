import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { DistLockModule, type LockDriver } from 'nestjs-dist-lock';
import { AdminController } from './admin/admin.controller.js';
import { Heartbeat } from './leadership/heartbeat.js';
import { LeaderPageController } from './leadership/leader-page.controller.js';
import { LeadershipLog } from './leadership/leadership-log.js';
import { OrderStore } from './orders/order-store.js';
import { OrdersController } from './orders/orders.controller.js';
import { OrdersService } from './orders/orders.service.js';
import { Replica } from './replica.js';
import { NightlyReport } from './reports/nightly-report.js';
import { SkippedReports } from './reports/skipped-reports.js';
import { StatusController } from './status/status.controller.js';

export interface ReplicaParts {
  readonly replica: Replica;
  /** The URL of the replica, if its port is known before it listens. */
  readonly url: string | undefined;
  readonly driver: LockDriver;
  readonly orders: OrderStore;
}

@Module({})
export class AppModule implements OnApplicationShutdown {
  constructor(private readonly orders: OrderStore) {}

  static forReplica({ replica, url, driver, orders }: ReplicaParts): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ScheduleModule.forRoot(),
        DistLockModule.forRoot({
          driver,
          namespace: 'sample',
          // All replicas run on this machine, on ports of their own.
          instance: { id: replica.name, url, allowedUrls: ['http://localhost:*'] },
          // Shorter than the defaults, so that a fail-over is fun to watch.
          elections: [{ leaseDuration: '5s', renewDeadline: '3s', retryPeriod: '500ms' }],
          shutdown: { grace: '5s' },
        }),
      ],
      controllers: [OrdersController, AdminController, LeaderPageController, StatusController],
      providers: [
        { provide: Replica, useValue: replica },
        { provide: OrderStore, useValue: orders },
        OrdersService,
        NightlyReport,
        SkippedReports,
        Heartbeat,
        LeadershipLog,
      ],
    };
  }

  /** The last shutdown hook: by now requests are answered and locks are released. */
  async onApplicationShutdown(): Promise<void> {
    await this.orders.close();
  }
}
