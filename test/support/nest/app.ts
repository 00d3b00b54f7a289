import type { AddressInfo, Server } from 'node:net';
import type { INestApplication, INestApplicationContext, LoggerService, ModuleMetadata } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  DistLockModule,
  type DistLockModuleExtras,
  type DistLockModuleOptions,
  LeaderService,
  type Member,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom } from 'rxjs';
import { onTestFinished } from 'vitest';

export interface AppOptions extends ModuleMetadata {
  /** Options of the lock module. Default: a memory driver of its own. */
  locks?: DistLockModuleOptions & DistLockModuleExtras;
  logger?: LoggerService | false;
}

/** A compiled application with the lock module, not yet initialised. It is closed when the test ends. */
export async function compile(options: AppOptions): Promise<TestingModule> {
  return closing(await build(options));
}

/** A compiled application of nothing but what `metadata` says. It is closed when the test ends. */
export async function compileBare(
  metadata: ModuleMetadata,
  logger: LoggerService | false = false,
): Promise<TestingModule> {
  return closing(await buildBare(metadata, logger));
}

/** An initialised application without a server. */
export async function start(options: AppOptions): Promise<TestingModule> {
  return (await compile(options)).init();
}

/** Why an application does not start. */
export async function startError(starting: Promise<TestingModule>): Promise<Error> {
  try {
    const app = await starting;
    await app.init();
  } catch (error) {
    return error as Error;
  }
  throw new Error('The application started.');
}

export interface HttpApp {
  readonly app: INestApplication<Server>;
  /** Without a slash at its end. */
  readonly url: string;
}

/** An application that listens. `prepare` runs before it is initialised. */
export async function serve(
  options: AppOptions & { adapter?: AbstractHttpAdapter; port?: number; rawBody?: boolean },
  prepare: (app: INestApplication<Server>) => unknown = () => undefined,
): Promise<HttpApp> {
  const { adapter, port = 0, rawBody = false, ...rest } = options;
  const module = await build(rest);
  const app = closing<INestApplication<Server>>(
    adapter ? module.createNestApplication(adapter, { rawBody }) : module.createNestApplication({ rawBody }),
  );
  await prepare(app);
  await app.listen(port, '127.0.0.1');
  return { app, url: `http://127.0.0.1:${portOf(app.getHttpServer())}` };
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Closes an application when the test ends, also where it did not start. */
export function closing<App extends INestApplicationContext>(app: App): App {
  onTestFinished(async () => {
    await app.close();
  });
  return app;
}

/** Resolves when the instance leads. */
export async function leading(app: INestApplicationContext): Promise<LeaderService> {
  const leader = app.get(LeaderService);
  await firstValueFrom(leader.isLeader$.pipe(filter(Boolean)));
  return leader;
}

/** Resolves with the leader when the instance has learnt of one. */
export async function knownLeader(app: INestApplicationContext): Promise<Member> {
  return firstValueFrom(app.get(LeaderService).leader$.pipe(filter((member) => member !== null)));
}

/** Another replica that leads, so that applications started after it follow. */
export async function startLeader(
  driver: MemoryDriver,
  instance?: DistLockModuleOptions['instance'],
): Promise<TestingModule> {
  const app = await start({ locks: { driver, instance: { id: 'the-leader', ...instance } } });
  await leading(app);
  return app;
}

function build({ locks, logger = false, imports = [], ...metadata }: AppOptions): Promise<TestingModule> {
  const lockModule = DistLockModule.forRoot({ driver: new MemoryDriver(), namespace: 'dist-lock', ...locks });
  return buildBare({ imports: [lockModule, ...imports], ...metadata }, logger);
}

function buildBare(metadata: ModuleMetadata, logger: LoggerService | false): Promise<TestingModule> {
  const ignore = (): void => undefined;
  const silence: LoggerService = { log: ignore, warn: ignore, error: ignore };
  return Test.createTestingModule(metadata)
    .setLogger(logger || silence)
    .compile();
}
