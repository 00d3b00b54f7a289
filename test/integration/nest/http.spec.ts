import { request as httpRequest } from 'node:http';
import type { Server } from 'node:net';
import {
  type ArgumentsHost,
  Body,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  Inject,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestInterceptor,
  type NestMiddleware,
  Param,
  ParseIntPipe,
  type PipeTransform,
  Post,
  Query,
  Req,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { type AbstractHttpAdapter, REQUEST } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ApiOperation, ApiResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { CurrentLock, currentLock, type Lock, LockService, WithLock } from 'nestjs-dist-lock';
import { filter, firstValueFrom, type Observable } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type HttpApp, serve } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

class OrderDto {
  note!: string;
}

type Place = 'none' | 'above' | 'below';

/** The same controller without a lock, and with it above and below all other decorators. */
function ordersController(place: Place) {
  const lockAt = (here: Place): MethodDecorator =>
    here === place ? (WithLock('order:{0}') as MethodDecorator) : () => undefined;

  @Injectable()
  class Allow implements CanActivate {
    canActivate(): boolean {
      return true;
    }
  }

  @Controller('orders')
  class Orders {
    readonly prefix = 'order';

    @lockAt('above')
    @Get(':id')
    @HttpCode(202)
    @Header('x-made-by', 'orders')
    @UseGuards(Allow)
    @ApiOperation({ summary: 'One order' })
    @ApiResponse({ status: 202, type: OrderDto })
    @lockAt('below')
    async get(@Param('id', ParseIntPipe) id: number, @Query('q') q = 'none'): Promise<object> {
      return { prefix: this.prefix, id, q, key: currentLock()?.key ?? null };
    }

    @lockAt('above')
    @Post(':id')
    @lockAt('below')
    async post(@Param('id') id: string, @Body() order: OrderDto, @CurrentLock() lock?: Lock): Promise<object> {
      return { id, order, key: lock?.key ?? null, isCurrent: lock === currentLock() };
    }
  }
  return Orders;
}

function connectionsTo(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

async function json(response: Promise<Response>): Promise<unknown> {
  return (await response).json();
}

function post(url: string, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
}

describe('@WithLock on a route', () => {
  function metadataOf(controller: ReturnType<typeof ordersController>) {
    const { prototype } = controller;
    return (['get', 'post'] as const).map((name) => {
      const method: object = prototype[name];
      const keys = Reflect.getMetadataKeys(method) as string[];
      return {
        // The classes of guards are made anew for each controller.
        method: new Map(keys.map((key) => [key, key === '__guards__' ? 'guards' : Reflect.getMetadata(key, method)])),
        parameters: Reflect.getMetadata('design:paramtypes', prototype, name),
        routeArguments: Object.keys(Reflect.getMetadata('__routeArguments__', controller, name) as object),
      };
    });
  }

  it('leaves the same metadata in every order of decorators', () => {
    const without = metadataOf(ordersController('none'));
    expect(metadataOf(ordersController('above'))).toEqual(without);
    expect(metadataOf(ordersController('below'))).toEqual(without);
  });

  it.each<[Place, string | null]>([
    ['none', null],
    ['above', 'order:7'],
    ['below', 'order:7'],
  ])('%s: the route, its pipes, parameters, headers and status stay as they are', async (place, key) => {
    const { url } = await serve({ controllers: [ordersController(place)] });
    const response = await fetch(`${url}/orders/7?q=x`);
    expect([response.status, response.headers.get('x-made-by')]).toEqual([202, 'orders']);
    expect(await response.json()).toEqual({ prefix: 'order', id: 7, q: 'x', key });
    expect(await json(fetch(`${url}/orders/7`))).toMatchObject({ q: 'none' });
    expect((await fetch(`${url}/orders/seven`)).status).toBe(400);
    const order = { note: 'n' };
    expect(await json(post(`${url}/orders/7`, order))).toEqual({ id: '7', order, key, isCurrent: true });
  });

  it('changes nothing in the OpenAPI document, where @CurrentLock() does not appear', async () => {
    const documents = await Promise.all(
      (['none', 'above', 'below'] as const).map(async (place) => {
        const { app } = await serve({ controllers: [ordersController(place)] });
        return JSON.stringify(SwaggerModule.createDocument(app, new DocumentBuilder().build()));
      }),
    );
    expect(documents[0]).toContain('"summary":"One order"');
    expect(new Set(documents).size).toBe(1);
  });

  it('gets the values that pipes made, before it builds the key', async () => {
    @Injectable()
    class Upper implements PipeTransform<string, string> {
      transform(value: string): string {
        return value.toUpperCase();
      }
    }
    @Controller()
    class Keys {
      @Get(':id')
      @WithLock('k:{0}')
      async get(@Param('id', Upper) _id: string): Promise<unknown> {
        return { key: currentLock()?.key };
      }
    }
    const { url } = await serve({ controllers: [Keys] });
    expect(await json(fetch(`${url}/a%3Ab`))).toEqual({ key: 'k:A%3AB' });
  });

  it('works in a controller of each request', async () => {
    @Controller()
    class PerRequest {
      constructor(@Inject(REQUEST) private readonly request: { url: string }) {}

      @Get(':id')
      @WithLock('{this.request.url}')
      async get(): Promise<unknown> {
        return { url: this.request.url, key: currentLock()?.key };
      }
    }
    const { url } = await serve({ controllers: [PerRequest] });
    expect(await json(fetch(`${url}/1`))).toEqual({ url: '/1', key: '/1' });
    expect(await json(fetch(`${url}/2`))).toEqual({ url: '/2', key: '/2' });
  });
});

describe('a request that does not get its lock', () => {
  @Controller()
  class Contended {
    @Get('throw')
    @WithLock('busy', { otherwise: 'reject' })
    async throws(): Promise<string> {
      return 'ran';
    }

    @Get('skip')
    @WithLock('busy', { otherwise: 'skip' })
    async skips(): Promise<string | undefined> {
      return 'ran';
    }
  }

  async function contended(): Promise<HttpApp & { lock: Lock }> {
    const served = await serve({ controllers: [Contended], locks: { instance: { id: 'pod-1' } } });
    const lock = await served.app.get(LockService).acquire('busy');
    onTestFinished(() => lock.release());
    return { ...served, lock };
  }

  it('is answered with 409, and not with who holds it', async () => {
    const { url, lock } = await contended();
    const response = await fetch(`${url}/throw`);
    expect(response.status).toBe(409);
    expect(await response.json()).toEqual({
      statusCode: 409,
      error: 'Conflict',
      code: 'LOCK_NOT_ACQUIRED',
      message: 'Another request of the same kind is being processed. Try again later.',
    });
    await lock.release();
    expect(await (await fetch(`${url}/throw`)).text()).toBe('ran');
  });

  it('is answered with nothing where it is skipped', async () => {
    const { url, lock } = await contended();
    const response = await fetch(`${url}/skip`);
    expect([response.status, await response.text()]).toEqual([200, '']);
    await lock.release();
    expect(await (await fetch(`${url}/skip`)).text()).toBe('ran');
  });
});

describe('@WithLock works in everything that Nest injects', () => {
  const entered: (string | undefined)[] = [];
  const enter = (): void => void entered.push(currentLock()?.key);

  @Injectable()
  class LockedMiddleware implements NestMiddleware {
    @WithLock('middleware')
    async use(_request: unknown, _response: unknown, next: () => void): Promise<void> {
      enter();
      next();
    }
  }

  @Injectable()
  class LockedGuard implements CanActivate {
    @WithLock('guard')
    async canActivate(_context: ExecutionContext): Promise<boolean> {
      enter();
      return true;
    }
  }

  @Injectable()
  class LockedInterceptor implements NestInterceptor {
    @WithLock('interceptor')
    async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
      enter();
      return next.handle();
    }
  }

  @Injectable()
  class LockedPipe implements PipeTransform {
    @WithLock('pipe')
    async transform(value: unknown): Promise<unknown> {
      enter();
      return value;
    }
  }

  @Catch()
  class LockedFilter implements ExceptionFilter {
    @WithLock('filter')
    async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
      enter();
      host.switchToHttp().getResponse<{ status(code: number): { end(): void } }>().status(418).end();
    }
  }

  @Controller()
  class Teapot {
    @Get()
    @UseGuards(LockedGuard)
    @UseInterceptors(LockedInterceptor)
    @UseFilters(LockedFilter)
    get(@Query('q', LockedPipe) q: string): never {
      throw new Error(q);
    }
  }

  @Module({ controllers: [Teapot] })
  class TeapotModule {
    configure(consumer: MiddlewareConsumer): void {
      consumer.apply(LockedMiddleware).forRoutes(Teapot);
    }
  }

  it('middleware, guards, interceptors, pipes and filters', async () => {
    const { url } = await serve({ imports: [TeapotModule] });
    expect((await fetch(`${url}/?q=x`)).status).toBe(418);
    expect(entered).toEqual(['middleware', 'guard', 'interceptor', 'pipe', 'filter']);
  });
});

describe('with Fastify', () => {
  it('routes, pipes and the lock parameter work the same', async () => {
    const { url } = await serve({ controllers: [ordersController('above')], adapter: new FastifyAdapter() });
    expect(await json(fetch(`${url}/orders/7`))).toEqual({ prefix: 'order', id: 7, q: 'none', key: 'order:7' });
    expect(await json(post(`${url}/orders/7`, { note: 'n' }))).toMatchObject({ key: 'order:7', isCurrent: true });
    expect((await fetch(`${url}/orders/seven`)).status).toBe(400);
  });
});

describe.each<[string, () => AbstractHttpAdapter]>([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('a client on %s that hangs up while its call waits for a lock', (_name, adapter) => {
  @Controller()
  class Orders {
    readonly ran: string[] = [];

    @Post('known/:client')
    @WithLock('order', { wait: '20s' })
    async known(@Param('client') client: string, @Req() _request: unknown): Promise<void> {
      this.ran.push(client);
    }

    @Post('unknown/:client')
    @WithLock('order', { wait: '20s' })
    async unknown(@Param('client') client: string): Promise<void> {
      this.ran.push(client);
    }
  }

  async function afterHangUp(path: 'known' | 'unknown'): Promise<{ ran: string[]; errors: unknown[] }> {
    const logger = new RecordingLogger();
    const { app, url } = await serve({ controllers: [Orders], adapter: adapter(), logger });
    const locks = app.get(LockService);
    const held = await locks.acquire('order');
    const waits = firstValueFrom(locks.events$.pipe(filter(({ type }) => type === 'contended')));
    const impatient = httpRequest(`${url}/${path}/impatient`, { method: 'POST' });
    impatient.on('error', () => undefined).end();
    await waits;
    impatient.destroy();
    await expect.poll(() => connectionsTo(app.getHttpServer())).toBe(0);
    // Behind the other in line, if that is still there.
    const patient = fetch(`${url}/known/patient`, { method: 'POST' });
    await expect.poll(() => connectionsTo(app.getHttpServer())).toBe(1);
    await held.release();
    expect((await patient).status).toBe(201);
    return { ran: app.get(Orders).ran, errors: logger.texts('error') };
  }

  it('is not served, where the handler is given the request', async () => {
    expect(await afterHangUp('known')).toEqual({ ran: ['patient'], errors: [] });
  });

  it('is served where nothing tells of the request', async () => {
    expect(await afterHangUp('unknown')).toEqual({ ran: ['impatient', 'patient'], errors: [] });
  });
});
