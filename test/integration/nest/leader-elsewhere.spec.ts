import { once } from 'node:events';
import {
  createServer,
  get,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type RequestListener,
} from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { Body, Controller, Get, Header, HttpCode, Post, Put, Query, Req, Res, Sse } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { LeaderOnly } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { Observable, Subject } from 'rxjs';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type HttpApp, knownLeader, leading, serve, startLeader } from '../../support/nest/app.js';

const FORWARDED = 'x-dist-lock-forwarded';
const UPLOAD = 'application/x-upload';
/** Of a follower on the machine of the leader. */
const BESIDE = { allowedUrls: ['http://127.0.0.1:*'] };

let driver: MemoryDriver;
/** What the handlers of the leader were given. */
let events: Subject<{ data: string }>;
let unsubscribed: Promise<void>;

beforeEach(() => {
  driver = new MemoryDriver();
  events = new Subject();
});

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

@LeaderOnly({ otherwise: 'forward' })
@Controller('forward')
class Forwarding {
  @Get('echo/:path')
  @Header('x-made-by', 'the leader')
  @HttpCode(203)
  echo(@Req() { url, headers }: IncomingMessage, @Query() query: object): object {
    return { url, headers, query };
  }

  @Get('cookies')
  cookies(@Res({ passthrough: true }) response: { header(name: string, value: string[]): unknown }): string {
    response.header('set-cookie', ['a=1', 'b=2']);
    return 'cookies';
  }

  @Post('body')
  body(@Body() body: unknown, @Req() request: { headers: IncomingHttpHeaders; rawBody?: Buffer }): object {
    return { body, type: request.headers['content-type'] ?? null, raw: request.rawBody?.toString() ?? null };
  }

  @Put('upload')
  async upload(@Req() request: IncomingMessage & { raw?: IncomingMessage }): Promise<object> {
    return { text: await text(request.raw ?? request), length: request.headers['content-length'] ?? null };
  }

  @Get('empty')
  @HttpCode(204)
  empty(): void {}

  @Sse('events')
  events(): Observable<{ data: string }> {
    return new Observable((subscriber) => {
      unsubscribed = new Promise((resolve) => subscriber.add(resolve));
      return events.subscribe(subscriber);
    });
  }

  @Get('method')
  @LeaderOnly({ otherwise: 'reject' })
  async method(): Promise<string> {
    return 'method';
  }
}

@Controller('redirect')
class Redirecting {
  @Get(':path')
  @LeaderOnly({ otherwise: 'redirect' })
  async get(@Query() query: object): Promise<object> {
    return query;
  }

  @Post('body')
  @LeaderOnly({ otherwise: 'redirect' })
  async post(@Body() body: unknown): Promise<object> {
    return { body };
  }
}

const controllers = [Forwarding, Redirecting];

describe.each<[string, () => AbstractHttpAdapter]>([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => fastify()],
])('a request that a follower on %s gets', (_name, adapter) => {
  /** A leader and a follower that are the same application. */
  async function replicas(prepare?: Parameters<typeof serve>[1]): Promise<{ leader: HttpApp; url: string }> {
    const port = await freePort();
    const instance = { id: 'the-leader', url: `http://127.0.0.1:${port}` };
    const leader = await serve({ controllers, adapter: adapter(), port, locks: { driver, instance } }, prepare);
    await leading(leader.app);
    const follower = await serve({ controllers, adapter: adapter(), locks: { driver, instance: BESIDE } }, prepare);
    await knownLeader(follower.app);
    return { leader, url: follower.url };
  }

  /** A follower of a leader whose address is answered by something else. */
  async function followerOf(leaderUrl: string | undefined): Promise<string> {
    await startLeader(driver, leaderUrl === undefined ? {} : { url: leaderUrl });
    const { app, url } = await serve({ controllers, adapter: adapter(), locks: { driver, instance: BESIDE } });
    await knownLeader(app);
    return url;
  }

  async function leaderThat(answers: RequestListener): Promise<string> {
    const server = createServer(answers).listen(0, '127.0.0.1');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function json(url: string, init?: RequestInit): Promise<Record<string, unknown>> {
    return (await (await fetch(url, init)).json()) as Record<string, unknown>;
  }

  describe('and forwards', () => {
    it('is answered by the leader, with its status and headers', async () => {
      const { url, leader } = await replicas();
      const response = await fetch(`${url}/forward/echo/a%2Fb?q=1&q=2`, { headers: { 'x-mine': 'kept' } });
      expect([response.status, response.headers.get('x-made-by')]).toEqual([203, 'the leader']);
      const echo = (await response.json()) as { url: string; query: object; headers: IncomingHttpHeaders };
      expect(echo).toMatchObject({ url: '/forward/echo/a%2Fb?q=1&q=2', query: { q: ['1', '2'] } });
      expect(echo.headers).toMatchObject({
        'x-mine': 'kept',
        [FORWARDED]: 'default',
        host: new URL(leader.url).host,
        'x-forwarded-host': new URL(url).host,
        'x-forwarded-proto': 'http',
        'x-forwarded-for': expect.stringContaining('127.0.0.1'),
      });
    });

    it('without the headers of the connection, and with what proxies before us said', async () => {
      const { url } = await replicas();
      const headers = {
        connection: 'close, x-of-this-hop',
        'x-of-this-hop': '1',
        te: 'trailers',
        expect: '100-continue',
        'x-forwarded-for': '203.0.113.7',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'shop.example',
      };
      const [response] = (await once(get(`${url}/forward/echo/x`, { headers }), 'response')) as [IncomingMessage];
      const echo = JSON.parse(await text(response)) as { headers: IncomingHttpHeaders };
      expect(echo.headers).toMatchObject({ 'x-forwarded-proto': 'https', 'x-forwarded-host': 'shop.example' });
      expect(echo.headers['x-forwarded-for']).toMatch(/^203\.0\.113\.7, .*127\.0\.0\.1$/);
      for (const name of ['x-of-this-hop', 'te', 'expect']) expect(echo.headers).not.toHaveProperty(name);
    });

    it('keeps cookies apart, and an answer without a body empty', async () => {
      const { url } = await replicas();
      expect((await fetch(`${url}/forward/cookies`)).headers.getSetCookie()).toEqual(['a=1', 'b=2']);
      expect((await fetch(`${url}/forward/empty`)).status).toBe(204);
      const head = await fetch(`${url}/forward/cookies`, { method: 'HEAD' });
      expect([head.status, await head.text()]).toEqual([200, '']);
    });

    it.each<[string, string, unknown]>([
      ['application/json', '{"a":{"b":[1,"ü"]},"c":null}', { a: { b: [1, 'ü'] }, c: null }],
      ['application/x-www-form-urlencoded', 'a=1&b=x+y%26%C3%BC&a=2', { a: ['1', '2'], b: 'x y&ü' }],
    ])('passes on a body of %s that was parsed', async (type, body, parsed) => {
      const { url } = await replicas();
      const headers = { 'content-type': `${type}; charset=utf-8` };
      const answer = await json(`${url}/forward/body`, { method: 'POST', body, headers });
      expect(answer).toEqual({ body: parsed, type: `${type}; charset=utf-8`, raw: null });
    });

    it('passes on the very bytes of a body that was kept', async () => {
      const port = await freePort();
      const body = '{ "n": 12345678901234567890, "n": 1.0 }';
      const instance = { url: `http://127.0.0.1:${port}` };
      const raw = async (rest: { port?: number; locks: object }): Promise<HttpApp> =>
        serve({ controllers, adapter: adapter(), rawBody: true, ...rest });
      const leader = await raw({ port, locks: { driver, instance } });
      await leading(leader.app);
      const { app, url } = await raw({ locks: { driver, instance: BESIDE } });
      await knownLeader(app);
      const headers = { 'content-type': 'application/json' };
      expect(await json(`${url}/forward/body`, { method: 'POST', body, headers })).toMatchObject({ raw: body });
    });

    it('passes on an upload that nobody has read as it comes, with and without a length', async () => {
      const { url } = await replicas();
      const upload = { method: 'PUT', headers: { 'content-type': UPLOAD } };
      expect(await json(`${url}/forward/upload`, { ...upload, body: 'x'.repeat(200_000) })).toEqual({
        text: 'x'.repeat(200_000),
        length: '200000',
      });
      const streamed = httpRequest(`${url}/forward/upload`, upload);
      const [response] = await Promise.all([
        once(streamed, 'response') as Promise<[IncomingMessage]>,
        new Promise<void>((resolve) => streamed.write('first ', () => resolve())).then(() => streamed.end('second')),
      ]);
      expect(JSON.parse(await text(response[0]))).toEqual({ text: 'first second', length: null });
    });

    it('streams the answer, and ends it on the leader when the client goes away', async () => {
      const { url } = await replicas();
      const [response] = (await once(get(`${url}/forward/events`), 'response')) as [IncomingMessage];
      expect(response.headers['content-type']).toContain('text/event-stream');
      let seen = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (seen += chunk));
      for (const data of ['one', 'two']) {
        events.next({ data });
        while (!seen.includes(`data: ${data}`)) await once(response, 'data');
      }
      response.destroy();
      await unsubscribed;
    });

    it('leaves to a method what that says for itself', async () => {
      const { url } = await replicas();
      expect((await fetch(`${url}/forward/method`)).status).toBe(503);
    });

    it('once only: a follower that gets a forwarded request refuses it', async () => {
      let asked = 0;
      const url = await followerOf(await leaderThat((_request, response) => response.end(String(++asked))));
      expect(await (await fetch(`${url}/forward/cookies`)).text()).toBe('1');
      const again = await fetch(`${url}/forward/cookies`, { headers: { [FORWARDED]: 'default' } });
      expect([again.status, again.headers.get('retry-after'), asked]).toEqual([503, '15', 1]);
    });

    it('two that take each other for the leader do not play ball', async () => {
      const port = await freePort();
      const url = await followerOf(`http://127.0.0.1:${port}`);
      // The address that the leader registered is that of another follower.
      const other = await serve({ controllers, adapter: adapter(), port, locks: { driver, instance: BESIDE } });
      await knownLeader(other.app);
      const refused = await fetch(`${url}/forward/cookies`);
      expect([refused.status, refused.headers.get('x-leader')]).toEqual([503, `http://127.0.0.1:${port}`]);
    });

    it.each<[number, string, RequestListener | null]>([
      [503, 'cannot be reached', null],
      [502, 'hangs up without an answer', (incoming) => incoming.socket.destroy()],
      [504, 'is silent for too long', () => undefined],
    ])('is answered with %d when the leader %s', async (status, _what, answers) => {
      @Controller()
      class Impatient {
        @Get()
        @LeaderOnly({ otherwise: 'forward', timeout: '300ms' })
        async get(): Promise<void> {}
      }
      await startLeader(driver, { url: answers ? await leaderThat(answers) : `http://127.0.0.1:${await freePort()}` });
      const locks = { driver, instance: BESIDE };
      const { app, url } = await serve({ controllers: [Impatient], adapter: adapter(), locks });
      await knownLeader(app);
      const response = await fetch(url);
      expect([response.status, response.headers.has('retry-after')]).toEqual([status, status === 503]);
      expect(await response.json()).toMatchObject({ statusCode: status });
    });

    it('breaks off where the answer of the leader does', async () => {
      const url = await followerOf(
        await leaderThat((_request, response) => {
          response.writeHead(200, { 'content-length': 100 });
          response.write('half', () => response.destroy());
        }),
      );
      await expect(fetch(`${url}/forward/cookies`).then((response) => response.text())).rejects.toThrow();
    });

    it('is not kept waiting for a leader when the client has gone', async () => {
      let arrived!: (incoming: IncomingMessage) => void;
      const arrival = new Promise<IncomingMessage>((resolve) => (arrived = resolve));
      const url = await followerOf(await leaderThat((incoming) => arrived(incoming)));
      const client = get(`${url}/forward/cookies`);
      client.on('error', () => undefined);
      const closed = once((await arrival).socket, 'close');
      client.destroy();
      await closed;
    });

    it('is refused where the leader has no address', async () => {
      const response = await fetch(`${await followerOf(undefined)}/forward/cookies`);
      expect([response.status, response.headers.get('x-leader')]).toEqual([503, null]);
    });
  });

  describe('and redirects', () => {
    it('is answered with 307 to the same path and query at the leader', async () => {
      const { url, leader } = await replicas();
      const response = await fetch(`${url}/redirect/a%2Fb?q=1`, { redirect: 'manual' });
      expect([response.status, response.headers.get('location')]).toEqual([307, `${leader.url}/redirect/a%2Fb?q=1`]);
      expect(response.headers.get('x-leader')).toBe(leader.url);
      expect(await json(`${url}/redirect/x?q=1`)).toEqual({ q: '1' });
      const headers = { 'content-type': 'application/json' };
      expect(await json(`${url}/redirect/body`, { method: 'POST', body: '{"a":1}', headers })).toEqual({
        body: { a: 1 },
      });
    });

    it('never leads to a host that the client names', async () => {
      const url = await followerOf('http://127.0.0.1:9');
      const { hostname, port } = new URL(url);
      for (const path of ['http://evil.example/redirect/x', '/redirect///evil.example', '/redirect/\\\\evil.example']) {
        const [response] = (await once(get({ hostname, port, path }), 'response')) as [IncomingMessage];
        response.resume();
        // A router may refuse such a request; none may send it elsewhere.
        if (response.statusCode === 307) expect(response.headers.location).toMatch(/^http:\/\/127\.0\.0\.1:9\//);
        else expect(response.headers).not.toHaveProperty('location');
      }
    });

    it.each([[undefined], ['ftp://127.0.0.1'], ['127.0.0.1:3000']])(
      'is refused where the leader has no address that requests can go to: %s',
      async (leaderUrl) => {
        const response = await fetch(`${await followerOf(leaderUrl)}/redirect/x`, { redirect: 'manual' });
        expect([response.status, response.headers.get('retry-after')]).toEqual([503, '15']);
      },
    );

    it('is refused where no leader is known', async () => {
      const elections = [{ autoCampaign: false }];
      const { url } = await serve({ controllers, adapter: adapter(), locks: { driver, elections } });
      for (const path of ['redirect/x', 'forward/cookies']) {
        expect((await fetch(`${url}/${path}`, { redirect: 'manual' })).status).toBe(503);
      }
    });
  });
});

/** With a type of content that is left to the handler to read. */
function fastify(): FastifyAdapter {
  const adapter = new FastifyAdapter();
  adapter.getInstance().addContentTypeParser(UPLOAD, (_request, _payload, done) => done(null));
  return adapter;
}
