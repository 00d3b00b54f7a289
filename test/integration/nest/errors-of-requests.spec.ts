import { once } from 'node:events';
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpException,
  HttpStatus,
  Injectable,
  InternalServerErrorException,
  type MiddlewareConsumer,
  Module,
  type ModuleMetadata,
  type NestInterceptor,
  type NestMiddleware,
  Param,
  type PipeTransform,
  Query,
  Sse,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  type AbstractHttpAdapter,
  APP_FILTER,
  APP_INTERCEPTOR,
  BaseExceptionFilter,
  HttpAdapterHost,
} from '@nestjs/core';
import { GraphQLModule, Query as GraphqlQuery, Resolver } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { MessagePattern, RpcException } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { WsAdapter } from '@nestjs/platform-ws';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  DistLockError,
  DistLockModule,
  DriverUnavailableError,
  LeaderOnly,
  LockConfigError,
  LockLostError,
  LockNotAcquiredError,
  LockService,
  LockServiceClosedError,
  MemberNotFoundError,
  NestedLockError,
  NotLeaderError,
  TooManyWaitingError,
  WithLock,
} from 'nestjs-dist-lock';
import { catchError, concat, type Observable, of, throwError } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { serve } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';
import { connectTcp, serveTcp } from '../../support/nest/tcp.js';

const KEY = 'order:secret-key';
const ID = 'secret-host:4242:secret-part';
/** In none of what a stranger is sent. */
const SECRET = /secret|4242/;

/** Errors that leave a handler because of the state of the world, the status and what else is in the answer. */
const REFUSALS: Record<string, [error: () => Error, statusCode: number, code: string, retryAfter: string | null]> = {
  held: [() => new LockNotAcquiredError(KEY, 1000, ID, { since: 1, remaining: 5 }), 409, 'LOCK_NOT_ACQUIRED', null],
  lost: [() => new LockLostError(KEY, 4242, 'expired'), 409, 'LOCK_LOST', null],
  down: [
    () => new DriverUnavailableError('Redis at secret-host:6379: down', { sent: false }),
    503,
    'DRIVER_UNAVAILABLE',
    '1',
  ],
  'not-leader': [() => new NotLeaderError('secret', { id: ID }, 15_000), 503, 'NOT_LEADER', '15'],
  'too-many': [() => new TooManyWaitingError(KEY, 1000, 'lock.maxWaiting'), 503, 'LOCK_TOO_MANY_WAITING', '1'],
  closed: [() => new LockServiceClosedError(), 503, 'LOCK_SERVICE_CLOSED', '1'],
  'no-member': [() => new MemberNotFoundError('secret', ID, [ID]), 404, 'MEMBER_NOT_FOUND', null],
};

/** Mistakes of the code. */
const MISTAKES: Record<string, () => Error> = {
  config: () => new LockConfigError('Redis at secret-host:6379: WRONGPASS'),
  nested: () => new NestedLockError(KEY),
  foreign: () => new Error(`secret of another library`),
};

function errorOf(name: string): Error {
  return (REFUSALS[name]?.[0] ?? MISTAKES[name]!)();
}

/** Requests that a key cannot be made of, and the same mistakes by the code. */
const KEYS: [path: string, statusCode: number][] = [
  ['key?other=1', 400],
  ['key?id=', 400],
  ['key?id=a&id=b', 400],
  [`key?id=${'x'.repeat(600)}`, 400],
  ['of-function?other=1', 400],
  [`of-function?id=${'x'.repeat(600)}`, 400],
  ['of-service?other=1', 400],
  ['of-this', 500],
  ['of-request', 500],
  ['too-few', 500],
  ['empty', 500],
];

@Injectable()
class Orders {
  @WithLock('order:{0}')
  async charge(_id: string): Promise<void> {}

  @WithLock('order:{1}')
  async refund(_id: string, _to?: string): Promise<void> {}
}

function controller(decorator: MethodDecorator & ClassDecorator, on: 'class' | 'method') {
  const onMethod = on === 'method' ? decorator : () => undefined;
  @Controller()
  class Handlers {
    readonly tenant: string | undefined;

    constructor(
      private readonly locks: LockService,
      private readonly orders: Orders,
    ) {}

    @Get('throw/:error')
    @onMethod
    throws(@Param('error') error: string): never {
      throw errorOf(error);
    }

    @Get('key')
    @WithLock('order:{0}')
    @onMethod
    async key(@Query('id') id: string): Promise<string> {
      return id;
    }

    @Get('of-function')
    @WithLock((id: string) => id)
    @onMethod
    async ofFunction(@Query('id') id: string): Promise<string> {
      return id;
    }

    @Get('of-service')
    @onMethod
    async ofService(@Query('id') id: string): Promise<void> {
      await this.orders.charge(id);
    }

    @Get('of-this')
    @WithLock('{this.tenant}')
    @onMethod
    async ofThis(): Promise<void> {}

    @Get('of-request')
    @onMethod
    async ofRequest(): Promise<void> {
      await this.orders.charge(new Date() as never);
    }

    @Get('too-few')
    @onMethod
    async tooFew(): Promise<void> {
      await this.orders.refund('7');
    }

    @Get('empty')
    @onMethod
    async empty(): Promise<void> {
      await this.locks.acquire('');
    }
  }
  if (on === 'class') decorator(Handlers);
  return Handlers;
}

/** That of the documentation of Nest; `body` adds what people add. */
function catchAll(body: (error: unknown) => object = () => ({})) {
  @Catch()
  @Injectable()
  class CatchAll implements ExceptionFilter {
    constructor(private readonly host: HttpAdapterHost) {}

    catch(error: unknown, host: ArgumentsHost): void {
      const statusCode = error instanceof HttpException ? error.getStatus() : HttpStatus.INTERNAL_SERVER_ERROR;
      const response = host.switchToHttp().getResponse<unknown>();
      this.host.httpAdapter.reply(response, { statusCode, by: 'user', ...body(error) }, statusCode);
    }
  }
  return CatchAll;
}

const reported: unknown[] = [];

/** As error-reporting libraries do: what Nest expects is not reported. */
@Catch()
@Injectable()
class Reporting extends BaseExceptionFilter {
  override catch(error: unknown, host: ArgumentsHost): void {
    if (!(error instanceof HttpException)) reported.push(error);
    Reflect.apply(super.catch, this, [error, host]);
  }
}

@Injectable()
class Mapping implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const map = (error: unknown): Error =>
      error instanceof HttpException ? error : new InternalServerErrorException('by user');
    return next.handle().pipe(catchError((error) => throwError(() => map(error))));
  }
}

const nothing = (): void => undefined;
const message = (error: unknown): object => ({ message: (error as Error).message });
const json = (error: unknown): object => ({ error: JSON.stringify(error) });

interface Setting {
  readonly decorator?: MethodDecorator & ClassDecorator;
  readonly on?: 'class' | 'method';
  readonly providers?: ModuleMetadata['providers'];
  readonly prepare?: Parameters<typeof serve>[1];
  /** Whether the answer is written by Nest. */
  readonly isNests?: boolean;
}

const global = (type: new (host: HttpAdapterHost) => ExceptionFilter): Setting => ({
  prepare: (app) => app.useGlobalFilters(new type(app.get(HttpAdapterHost))),
});
const SETTINGS: Record<string, Setting> = {
  'no filter': { isNests: true },
  'a global catch-all filter': global(catchAll()),
  'a global catch-all filter that shows the message': global(catchAll(message)),
  'a global catch-all filter that shows the error as JSON': global(catchAll(json)),
  'a catch-all APP_FILTER': { providers: [{ provide: APP_FILTER, useClass: catchAll() }] },
  'a global filter that reports errors': {
    prepare: (app) => app.useGlobalFilters(new Reporting(app.get(HttpAdapterHost).httpAdapter)),
    isNests: true,
  },
  'an APP_FILTER that reports errors': { providers: [{ provide: APP_FILTER, useClass: Reporting }], isNests: true },
  'a catch-all filter of the controller': { decorator: UseFilters(catchAll()), on: 'class' },
  'a catch-all filter of the method': { decorator: UseFilters(catchAll()), on: 'method' },
  'an interceptor of the method that maps errors': {
    decorator: UseInterceptors(Mapping),
    on: 'method',
    isNests: true,
  },
  'an interceptor of the controller that maps errors': {
    decorator: UseInterceptors(Mapping),
    on: 'class',
    isNests: true,
  },
  'a global interceptor that maps errors': {
    prepare: (app) => app.useGlobalInterceptors(new Mapping()),
    isNests: true,
  },
  'an APP_INTERCEPTOR that maps errors': {
    providers: [{ provide: APP_INTERCEPTOR, useClass: Mapping }],
    isNests: true,
  },
};

const ADAPTERS: [name: string, adapter: () => AbstractHttpAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
];
const CASES = ADAPTERS.flatMap(([name, adapter]) =>
  Object.entries(SETTINGS).map(([filter, setting]) => [name, filter, adapter, setting] as const),
);

describe.each(CASES)('an error on %s with %s', (_adapter, _filter, adapter, setting) => {
  async function served() {
    const { decorator = nothing, on = 'method', providers = [], prepare } = setting;
    const logger = new RecordingLogger();
    const controllers = [controller(decorator, on)];
    const locks = { instance: { id: ID } };
    const { url } = await serve(
      { controllers, providers: [Orders, ...providers], adapter: adapter(), logger, locks },
      prepare,
    );
    const ask = async (path: string) => {
      logger.lines.length = 0;
      const response = await fetch(`${url}/${path}`);
      const body = await response.text();
      return {
        status: response.status,
        body: JSON.parse(body) as object,
        retryAfter: response.headers.get('retry-after'),
        leaks: SECRET.test(body) || SECRET.test(JSON.stringify([...response.headers])),
        errors: logger.texts('error'),
      };
    };
    return ask;
  }

  it('that contention or the store causes has its status, no secret and no line in the log', async () => {
    const ask = await served();
    for (const [name, [, status, code, retryAfter]] of Object.entries(REFUSALS)) {
      const { body, ...answer } = await ask(`throw/${name}`);
      expect([name, answer]).toEqual([name, { status, retryAfter, leaks: false, errors: [] }]);
      if (!setting.isNests) expect(body).toMatchObject({ statusCode: status, by: 'user' });
      else {
        expect(Object.keys(body)).toEqual(['statusCode', 'error', 'code', 'message']);
        expect(body).toMatchObject({ statusCode: status, code, message: expect.stringMatching(/^[A-Z].*\.$/) });
      }
    }
  });

  it('of a key is 400 where the request caused it, and 500 where the code did', async () => {
    const ask = await served();
    const statuses: typeof KEYS = [];
    for (const [path] of KEYS) {
      const { status, errors } = await ask(path);
      statuses.push([path, status]);
      if (status === 400) expect([path, errors]).toEqual([path, []]);
    }
    expect(statuses).toEqual(KEYS);
  });

  it('of the code is 500', async () => {
    const ask = await served();
    for (const name of Object.keys(MISTAKES)) expect((await ask(`throw/${name}`)).status).toBe(500);
  });
});

describe.each(ADAPTERS)('a mistake of the code on %s without a filter', (_name, adapter) => {
  it.each(Object.keys(MISTAKES))('%s: is in the log, and not in the answer', async (name) => {
    const logger = new RecordingLogger();
    const controllers = [controller(nothing, 'method')];
    const { url } = await serve({ controllers, providers: [Orders], adapter: adapter(), logger });
    const response = await fetch(`${url}/throw/${name}`);
    expect(await response.text()).not.toMatch(SECRET);
    expect(logger.texts('error').join('\n')).toMatch(SECRET);
  });

  it('reaches a filter that reports errors as it is', async () => {
    const controllers = [controller(nothing, 'method')];
    const { url } = await serve({ controllers, providers: [Orders], adapter: adapter() }, (app) =>
      app.useGlobalFilters(new Reporting(app.get(HttpAdapterHost).httpAdapter)),
    );
    reported.length = 0;
    for (const name of ['held', 'down', 'config']) await fetch(`${url}/throw/${name}`);
    expect(reported).toEqual([expect.any(LockConfigError)]);
    expect(reported[0]).not.toBeInstanceOf(HttpException);
  });
});

describe.each(ADAPTERS)('code of the user for the errors themselves on %s', (_name, adapter) => {
  const caught: unknown[] = [];

  @Catch(LockNotAcquiredError)
  class HeldFilter implements ExceptionFilter {
    constructor(private readonly host: HttpAdapterHost) {}

    catch(error: LockNotAcquiredError, host: ArgumentsHost): void {
      caught.push(error);
      this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { key: error.key }, 423);
    }
  }
  Injectable()(HeldFilter);

  class Unwrapping implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      const map = (error: unknown): unknown =>
        error instanceof DistLockError ? new HttpException(error.code, 418) : error;
      return next.handle().pipe(catchError((error) => throwError(() => map(error))));
    }
  }

  it.each<[string, Setting]>([
    ['a filter of the method', { decorator: UseFilters(HeldFilter), on: 'method' }],
    ['a filter of the controller', { decorator: UseFilters(HeldFilter), on: 'class' }],
    ['a global filter', global(HeldFilter)],
    ['an APP_FILTER', { providers: [{ provide: APP_FILTER, useClass: HeldFilter }] }],
  ])('%s catches its class and no other, with its fields', async (_where, setting) => {
    const { decorator = nothing, on = 'method', providers = [], prepare } = setting;
    const controllers = [controller(decorator, on)];
    const { url } = await serve({ controllers, providers: [Orders, ...providers], adapter: adapter() }, prepare);
    caught.length = 0;
    const response = await fetch(`${url}/throw/held`);
    expect([response.status, await response.json()]).toEqual([423, { key: KEY }]);
    expect((await fetch(`${url}/throw/lost`)).status).toBe(409);
    expect(caught).toHaveLength(1);
    const error = caught[0] as LockNotAcquiredError;
    expect(error).toBeInstanceOf(DistLockError);
    expect(error).not.toBeInstanceOf(LockLostError);
    expect([error.code, error.heldBy, error.remaining, error.waited]).toEqual(['LOCK_NOT_ACQUIRED', ID, 5, 1000]);
    expect((error.cause as Error).message).toContain(KEY);
  });

  it('an interceptor of a method finds it', async () => {
    const controllers = [controller(UseInterceptors(Unwrapping), 'method')];
    const { url } = await serve({ controllers, providers: [Orders], adapter: adapter() });
    const response = await fetch(`${url}/throw/held`);
    expect([response.status, await response.text()]).toEqual([418, expect.stringContaining('LOCK_NOT_ACQUIRED')]);
  });
});

class DebugLogger extends RecordingLogger {
  readonly debugged: unknown[] = [];

  debug(text: unknown): void {
    this.debugged.push(text);
  }
}

describe('the cause of a refusal', () => {
  it('is in the log for developers, once, however many registrations there are', async () => {
    const logger = new DebugLogger();
    const controllers = [controller(nothing, 'method')];
    const imports = ['a', 'b'].map((name) => DistLockModule.forRoot({ name, elections: [] }));
    const { url } = await serve({ controllers, providers: [Orders], imports, logger });
    await fetch(`${url}/throw/held`);
    expect(logger.debugged).toEqual([expect.stringContaining(KEY)]);
    expect(logger.texts('error')).toEqual([]);
  });

  it('is a warning where the lock was lost in use', async () => {
    const logger = new DebugLogger();
    const { url } = await serve({
      controllers: [controller(nothing, 'method')],
      providers: [Orders],
      logger,
    });
    await fetch(`${url}/throw/lost`);
    expect(logger.texts('warn')).toEqual([expect.stringContaining(KEY)]);
  });

  it('does no harm to a logger that throws', async () => {
    const logger = new RecordingLogger() as RecordingLogger & { debug(): void };
    logger.debug = () => {
      throw new Error('the disk is full');
    };
    const { url } = await serve({
      controllers: [controller(nothing, 'method')],
      providers: [Orders],
      logger,
    });
    expect((await fetch(`${url}/throw/held`)).status).toBe(409);
  });
});

describe.each(ADAPTERS)('an error before the handler on %s', (_name, adapter) => {
  @Injectable()
  class Guard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const { url } = context.switchToHttp().getRequest<{ url: string }>();
      if (url.startsWith('/guard/')) throw errorOf(url.slice('/guard/'.length));
      return true;
    }
  }

  @Injectable()
  class Pipe implements PipeTransform {
    transform(name: string): never {
      throw errorOf(name);
    }
  }

  @Injectable()
  class Middleware implements NestMiddleware {
    use(request: { originalUrl: string }, _response: unknown, next: () => void): void {
      const name = /^\/middleware\/(.*)/.exec(request.originalUrl)?.[1];
      if (name) throw errorOf(name);
      next();
    }
  }

  @Controller()
  class Guarded {
    @Get('guard/:error')
    @UseGuards(Guard)
    guard(): void {}

    @Get('pipe/:error')
    pipe(@Param('error', Pipe) _error: string): void {}

    @Get('middleware/:error')
    middleware(): void {}

    @Sse('stream/:error')
    stream(@Param('error') name: string): Observable<{ data: string }> {
      return concat(
        of({ data: 'first' }),
        throwError(() => errorOf(name)),
      );
    }
  }

  @Module({ controllers: [Guarded] })
  class GuardedModule {
    configure(consumer: MiddlewareConsumer): void {
      consumer.apply(Middleware).forRoutes(Guarded);
    }
  }

  it.each(['guard', 'pipe', 'middleware'])('%s: has its status, no secret and no line in the log', async (where) => {
    const logger = new RecordingLogger();
    const { url } = await serve({ imports: [GuardedModule], adapter: adapter(), logger });
    for (const [name, [, status, code, retryAfter]] of Object.entries(REFUSALS)) {
      const response = await fetch(`${url}/${where}/${name}`);
      const body = await response.text();
      expect([name, response.status, response.headers.get('retry-after')]).toEqual([name, status, retryAfter]);
      expect(JSON.parse(body)).toMatchObject({ statusCode: status, code });
      expect(body).not.toMatch(SECRET);
    }
    expect(logger.texts('error')).toEqual([]);
    for (const name of Object.keys(MISTAKES)) {
      logger.lines.length = 0;
      const response = await fetch(`${url}/${where}/${name}`);
      expect([name, response.status]).toEqual([name, 500]);
      expect(await response.text()).not.toMatch(SECRET);
      expect(logger.texts('error').join('\n')).toMatch(SECRET);
    }
  });

  it('in a stream of events does not show its message', async () => {
    const { url } = await serve({ imports: [GuardedModule], adapter: adapter() });
    const text = await (await fetch(`${url}/stream/held`)).text();
    expect(text).toMatch(/data: first[^]*data: Another request/);
    expect(text).not.toMatch(SECRET);
  });
});

const REFUSED = Object.entries(REFUSALS).map(([name, [, statusCode, code]]) => [name, statusCode, code] as const);

describe('an error in a message handler', () => {
  const caught: unknown[] = [];

  @Catch(RpcException)
  class RpcFilter implements ExceptionFilter {
    catch(error: RpcException): Observable<never> {
      caught.push(error);
      return throwError(() => error.getError());
    }
  }

  @Injectable()
  class RpcGuard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      throw errorOf(context.switchToRpc().getData<string>());
    }
  }

  @Controller()
  class Messages {
    @MessagePattern('throw')
    throws(name: string): never {
      throw errorOf(name);
    }

    @MessagePattern('guarded')
    @UseGuards(RpcGuard)
    guarded(): void {}

    @MessagePattern('filtered')
    @UseFilters(RpcFilter)
    filtered(name: string): never {
      throw errorOf(name);
    }
  }

  const hybrid = async (logger: RecordingLogger) => connectTcp((await serve({ controllers: [Messages], logger })).app);
  const alone = async (logger: RecordingLogger) => {
    const { app, client } = await serveTcp({ controllers: [Messages] });
    app.useLogger(logger);
    return client;
  };

  it.each([
    ['hybrid', 'throw', hybrid],
    ['hybrid', 'filtered', hybrid],
    ['alone', 'throw', alone],
    ['alone', 'filtered', alone],
    ['alone', 'guarded', alone],
  ] as const)('%s, %s: is a payload with status and code, and no line in the log', async (_kind, pattern, connect) => {
    const logger = new RecordingLogger();
    const client = await connect(logger);
    caught.length = 0;
    for (const [name, statusCode, code] of REFUSED) {
      const payload: unknown = await client.send(pattern, name).catch((error: unknown) => error);
      expect(payload).toEqual({ status: 'error', statusCode, code, message: expect.any(String) });
      expect(JSON.stringify(payload)).not.toMatch(SECRET);
    }
    expect(logger.texts('error')).toEqual([]);
    expect(caught).toHaveLength(pattern === 'filtered' ? REFUSED.length : 0);
    for (const error of caught) expect(error).toBeInstanceOf(DistLockError);
    const mistake: unknown = await client.send('throw', 'config').catch((error: unknown) => error);
    expect(mistake).toEqual({ status: 'error', message: 'Internal server error' });
    expect(logger.texts('error').join('\n')).toMatch(SECRET);
  });
});

describe('an error in a gateway', () => {
  @WebSocketGateway()
  class Gateway {
    @SubscribeMessage('throw')
    throws(_client: unknown, name: string): never {
      throw errorOf(name);
    }
  }

  it('is an exception event with status and code', async () => {
    const logger = new RecordingLogger();
    const { url } = await serve({ providers: [Gateway], logger }, (app) => app.useWebSocketAdapter(new WsAdapter(app)));
    const socket = new WebSocket(url.replace('http', 'ws'));
    onTestFinished(() => socket.close());
    await once(socket, 'open');
    for (const [name, statusCode, code] of REFUSED) {
      socket.send(JSON.stringify({ event: 'throw', data: name }));
      const [data] = (await once(socket, 'message')) as [Buffer];
      const answer = data.toString();
      expect(JSON.parse(answer)).toEqual({
        event: 'exception',
        data: { status: 'error', statusCode, code, message: expect.any(String) },
      });
      expect(answer).not.toMatch(SECRET);
    }
    expect(logger.texts('error')).toEqual([]);
  });
});

describe('an error in a resolver', () => {
  @Resolver()
  class Queries {
    @GraphqlQuery(() => String)
    open(): string {
      return 'open';
    }
  }
  for (const name of [...Object.keys(REFUSALS), 'config']) {
    const method = name.replace('-', '_');
    Object.defineProperty(Queries.prototype, method, {
      value(): never {
        throw errorOf(name);
      },
      writable: true,
      configurable: true,
    });
    const descriptor = Object.getOwnPropertyDescriptor(Queries.prototype, method)!;
    GraphqlQuery(() => String)(Queries.prototype, method, descriptor);
  }

  it('has its code and no secret, and no line in the log where it is no mistake', async () => {
    const logger = new RecordingLogger();
    const graphql = GraphQLModule.forRoot<MercuriusDriverConfig>({
      driver: MercuriusDriver,
      autoSchemaFile: true,
      graphiql: false,
    });
    const { url } = await serve({ imports: [graphql], providers: [Queries], adapter: new FastifyAdapter(), logger });
    const ask = async (name: string): Promise<string> => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ query: `{ ${name.replace('-', '_')} }` });
      return (await fetch(`${url}/graphql`, { method: 'POST', headers, body })).text();
    };
    for (const [name, , code] of REFUSED) {
      const answer = await ask(name);
      expect(JSON.parse(answer)).toMatchObject({ errors: [{ extensions: { code } }] });
      expect(answer).not.toMatch(SECRET);
    }
    expect(logger.texts('error')).toEqual([]);
    const mistake = await ask('config');
    expect(JSON.parse(mistake)).toMatchObject({ errors: [{ extensions: { code: 'LOCK_CONFIG' } }] });
    expect(mistake).not.toMatch(SECRET);
    expect(logger.texts('error')).not.toEqual([]);
  });
});

describe('a route for the leader only', () => {
  @Controller()
  class Admin {
    @Get()
    @LeaderOnly()
    async get(): Promise<string> {
      return 'leads';
    }
  }

  it.each(ADAPTERS)('does not tell a stranger on %s who leads, under a catch-all filter, too', async (_n, adapter) => {
    const { url } = await serve(
      { controllers: [Admin], adapter: adapter(), locks: { elections: [{ autoCampaign: false }] } },
      global(catchAll(message)).prepare,
    );
    const response = await fetch(url);
    expect([response.status, response.headers.get('retry-after'), response.headers.get('x-leader')]).toEqual([
      503,
      '15',
      null,
    ]);
  });
});
