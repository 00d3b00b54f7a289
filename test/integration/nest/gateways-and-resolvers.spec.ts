import { once } from 'node:events';
import { Injectable } from '@nestjs/common';
import { GraphQLModule, Mutation, Query, Resolver } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { LeaderOnly } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { type AppOptions, type HttpApp, knownLeader, leading, serve, startLeader } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

const REFUSAL = 'This instance cannot answer the request. Try again later.';
const leader = { url: 'http://leader' };

let driver: MemoryDriver;

beforeEach(() => {
  driver = new MemoryDriver();
});

/** A follower, which takes over when `promote` is called. */
async function follower(
  options: AppOptions & { adapter?: FastifyAdapter },
  prepare?: Parameters<typeof serve>[1],
): Promise<HttpApp & { promote: () => Promise<void> }> {
  const other = await startLeader(driver, leader);
  const served = await serve({ ...options, locks: { driver, instance: { allowedUrls: [leader.url] } } }, prepare);
  await knownLeader(served.app);
  const promote = async (): Promise<void> => {
    await other.close();
    await leading(served.app);
  };
  return { ...served, promote };
}

describe('@LeaderOnly on a WebSocket gateway', () => {
  @WebSocketGateway()
  class Orders {
    @SubscribeMessage('above')
    @LeaderOnly()
    async above(@MessageBody() id: string): Promise<object> {
      return { event: 'answer', data: `above ${id}` };
    }

    @SubscribeMessage('open')
    open(@MessageBody() id: string): object {
      return { event: 'answer', data: `open ${id}` };
    }
  }

  @LeaderOnly()
  @WebSocketGateway({ path: '/admin' })
  class Admin {
    @SubscribeMessage('class')
    class(@MessageBody() id: string): object {
      return { event: 'answer', data: `class ${id}` };
    }
  }

  async function connect(url: string, path: string): Promise<(event: string, data: string) => Promise<unknown>> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`);
    onTestFinished(() => socket.close());
    await once(socket, 'open');
    return async (event, data) => {
      socket.send(JSON.stringify({ event, data }));
      const [message] = (await once(socket, 'message')) as [Buffer];
      return JSON.parse(message.toString()) as unknown;
    };
  }

  it.each([
    ['/', 'above'],
    ['/admin', 'class'],
  ])('%s %s: a follower answers with who leads, the leader with its result', async (path, event) => {
    const logger = new RecordingLogger();
    const { url, promote } = await follower({ providers: [Orders, Admin], logger }, (app) =>
      app.useWebSocketAdapter(new WsAdapter(app)),
    );
    const ask = await connect(url, path);
    expect(await ask(event, '7')).toEqual({
      event: 'exception',
      data: { status: 'error', statusCode: 503, code: 'NOT_LEADER', message: REFUSAL, leader },
    });
    if (path === '/') expect(await ask('open', '7')).toEqual({ event: 'answer', data: 'open 7' });
    expect(logger.texts('error')).toEqual([]);
    await promote();
    expect(await ask(event, '7')).toEqual({ event: 'answer', data: `${event} 7` });
  });
});

describe('@LeaderOnly on a GraphQL resolver', () => {
  @Resolver()
  class Orders {
    @Query(() => String)
    open(): string {
      return 'open';
    }

    @Query(() => String)
    @LeaderOnly()
    async method(): Promise<string> {
      return 'method';
    }
  }

  @LeaderOnly()
  @Resolver()
  @Injectable()
  class Admin {
    @Mutation(() => String)
    class(): string {
      return 'class';
    }
  }

  it('refuses it on a follower with a code and who leads, and not on the leader', async () => {
    const { url, promote } = await follower({
      imports: [
        GraphQLModule.forRoot<MercuriusDriverConfig>({
          driver: MercuriusDriver,
          autoSchemaFile: true,
          graphiql: false,
        }),
      ],
      providers: [Orders, Admin],
      adapter: new FastifyAdapter(),
    });
    const ask = async (query: string): Promise<{ data: unknown; errors?: unknown[] }> => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query }) });
      return (await response.json()) as { data: unknown; errors?: unknown[] };
    };
    const refusal = { message: REFUSAL, extensions: { code: 'NOT_LEADER', leader } };
    expect(await ask('{ open }')).toEqual({ data: { open: 'open' } });
    expect((await ask('{ method }')).errors).toMatchObject([refusal]);
    expect((await ask('mutation { class }')).errors).toMatchObject([refusal]);
    await promote();
    expect(await ask('{ method }')).toEqual({ data: { method: 'method' } });
    expect(await ask('mutation { class }')).toEqual({ data: { class: 'class' } });
  });
});
