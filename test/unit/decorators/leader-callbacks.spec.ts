import { Controller, Inject, Injectable, Scope } from '@nestjs/common';
import {
  DistLockModule,
  LeaderService,
  LockConfigError,
  type Member,
  OnNewLeader,
  OnStartedLeading,
  OnStoppedLeading,
  type StartedLeading,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { describe, expect, it } from 'vitest';
import { compile, compileBare, knownLeader, leading, start, startError, startLeader } from '../../support/nest/app.js';

class Calls {
  readonly calls: unknown[][] = [];

  @OnStartedLeading()
  started({ term, signal }: StartedLeading): void {
    this.calls.push(['started', term.number, signal.aborted]);
  }

  @OnStoppedLeading()
  async stopped(reason: string): Promise<void> {
    this.calls.push(['stopped', reason]);
  }

  @OnNewLeader()
  follow(leader: Member): void {
    this.calls.push(['leader', leader.id]);
  }
}

@Injectable()
class Jobs extends Calls {}

@Controller()
class JobsController extends Calls {}

const locks = { instance: { id: 'me' } };

describe('methods under @OnStartedLeading(), @OnStoppedLeading() and @OnNewLeader()', () => {
  it('of providers and controllers are called, inherited ones, too', async () => {
    const app = await start({ locks, providers: [Jobs], controllers: [JobsController] });
    const leader = await leading(app);
    const { number } = leader.assertLeader();
    await leader.resign();
    for (const { calls } of [app.get(Jobs), app.get(JobsController)]) {
      expect(calls).toEqual([
        ['leader', 'me'],
        ['started', number, false],
        ['stopped', 'Resigned.'],
      ]);
    }
  });

  it('of an instance that a value or a factory provides, and of one with two names, are called once', async () => {
    const made = new Calls();
    const app = await start({
      locks,
      providers: [
        Jobs,
        { provide: 'same', useExisting: Jobs },
        { provide: 'value', useValue: made },
        { provide: 'again', useFactory: () => made },
      ],
    });
    await leading(app);
    expect(app.get(Jobs).calls).toHaveLength(2);
    expect(made.calls).toHaveLength(2);
  });

  it('are told of the leader on the instances that follow', async () => {
    const driver = new MemoryDriver();
    await startLeader(driver);
    const app = await start({ locks: { driver }, providers: [Jobs] });
    await knownLeader(app);
    expect(app.get(Jobs).calls).toEqual([['leader', 'the-leader']]);
  });

  it('hear of the shutdown before the application is closed', async () => {
    const app = await start({ locks, providers: [Jobs] });
    await leading(app);
    await app.close();
    expect(app.get(Jobs).calls.at(-1)).toEqual(['stopped', 'The application is shutting down.']);
  });

  it('follow the election, and the registration, that they name', async () => {
    @Injectable()
    class Named {
      readonly calls: string[] = [];
      @OnStartedLeading('reports')
      reports({ term }: StartedLeading): void {
        this.calls.push(term.election);
      }
      @OnStartedLeading({ registration: 'orders' })
      @OnStartedLeading({ registration: 'orders', election: 'mails' })
      orders({ term }: StartedLeading): void {
        this.calls.push(`orders ${term.election}`);
      }
    }
    const app = await start({
      locks: { elections: [{ name: 'reports' }] },
      imports: [DistLockModule.forRoot({ name: 'orders', elections: [{}, { name: 'mails' }] })],
      providers: [Named],
    });
    const leaders = ['LeaderService(default/reports)', 'LeaderService(orders)', 'LeaderService(orders/mails)'];
    await Promise.all(leaders.map((token) => leadingAs(app.get<LeaderService>(token))));
    expect(app.get(Named).calls.sort()).toEqual(['orders default', 'orders mails', 'reports']);
  });

  it('can be replaced in a test', async () => {
    const app = await compile({ locks, providers: [Jobs] });
    const calls: string[] = [];
    app.get(Jobs).started = () => void calls.push('replaced');
    await app.init();
    await leading(app);
    expect(calls).toEqual(['replaced']);
  });

  it('stop an application that has no such election, or not the module', async () => {
    @Injectable()
    class Named {
      @OnNewLeader('reports')
      follow(): void {}
    }
    expect((await startError(compile({ providers: [Named] }))).message).toMatch(
      /can't resolve dependencies of the Named[^]*LeaderService\(default\/reports\): name this election in the `elections`/,
    );
    expect((await startError(compileBare({ providers: [Jobs] }))).message).toMatch(
      /can't resolve dependencies of the Jobs[^]*import DistLockModule.forRoot\(\)/,
    );
  });

  it.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('are refused in a class that is %s', async (_what, scope) => {
    @Injectable({ scope })
    class Scoped {
      @OnStoppedLeading()
      stopped(): void {}
    }
    @Injectable()
    class User {
      constructor(@Inject(Scoped) readonly scoped: Scoped) {}
    }
    expect(await startError(compile({ providers: [Scoped, User] }))).toEqual(
      new LockConfigError(
        '@OnStoppedLeading on Scoped.stopped: Nest makes several instances of this class, or none, because it or ' +
          'something that it injects is request-scoped or transient. Move the method to a provider of the default scope.',
      ),
    );
  });

  it.each([
    [{ electon: 'a' }, '@OnStartedLeading: electon: unknown option. Known: election, registration.'],
    [{ election: 5 }, '@OnStartedLeading: election: expected a string.'],
    [5, '@OnStartedLeading: options: expected an object.'],
  ])('refuse %o', (options, text) => {
    expect(() => OnStartedLeading(options as object)).toThrow(new LockConfigError(text));
  });

  it('are instance methods', () => {
    expect(() => {
      class Wrong {
        @OnStoppedLeading()
        static stopped(): void {}
      }
      return Wrong;
    }).toThrow('@OnStoppedLeading on Wrong.stopped: only instance methods can be decorated.');
  });
});

async function leadingAs(leader: LeaderService): Promise<void> {
  await new Promise<void>((resolve) => leader.isLeader$.subscribe((leads) => leads && resolve()));
}
