import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type CanActivate,
  type ExecutionContext,
  HttpException,
  HttpStatus,
  Injectable,
  ServiceUnavailableException,
} from '@nestjs/common';
import { HttpAdapterHost, ModuleRef, Reflector } from '@nestjs/core';
import { NotLeaderError } from '../core/errors.js';
import type { LeaderService } from '../leader/leader.service.js';
import type { ParsedRequest } from './forwarded-body.js';
import { forward, FORWARDED, ForwardError, relay } from './leader-forward.js';
import { leaderTarget, type LeaderTarget } from './leader-url.js';

export const LEADER_ONLY = 'nestjs-dist-lock:leader-only';

export interface LeaderOnlyMetadata {
  readonly token: string;
  readonly otherwise: 'skip' | 'reject' | 'redirect' | 'forward' | undefined;
  /** Of a forwarded request, in milliseconds. */
  readonly timeout: number;
}

/** A request of Express, or of Fastify, which has the one of Node below it. */
type Request = IncomingMessage & ParsedRequest & { readonly originalUrl?: string; readonly raw?: IncomingMessage };
type Response = ServerResponse & { readonly raw?: ServerResponse; hijack?(): void };

/** Refuses requests to `@LeaderOnly()` handlers on other instances, or sends them to the leader, before pipes run. */
@Injectable()
export class LeaderGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly moduleRef: ModuleRef,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    const metadata = this.reflector.getAllAndOverride<LeaderOnlyMetadata | undefined>(LEADER_ONLY, targets);
    if (!metadata) return true;
    try {
      this.moduleRef.get<LeaderService>(metadata.token, { strict: false }).assertLeader();
      return true;
    } catch (error) {
      if (!(error instanceof NotLeaderError)) throw error;
      const type = context.getType<string>();
      if (type !== 'http') throw await refusalOf(error, type);
      return await this.sendElsewhere(context, error, metadata);
    }
  }

  private async sendElsewhere(
    context: ExecutionContext,
    error: NotLeaderError,
    { otherwise, timeout }: LeaderOnlyMetadata,
  ): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const target = leaderTarget(error.leader?.url, request.originalUrl ?? request.url ?? '/');
    if (otherwise === 'redirect' && target) throw this.redirection(response, error, target);
    // One hop only: two instances that each take the other for the leader must not play ball.
    if (otherwise !== 'forward' || !target || request.headers[FORWARDED]) throw this.refusal(response, error);

    const incoming = request.raw ?? request;
    const outgoing = response.raw ?? response;
    const { election } = error;
    try {
      const answer = await forward({ target, election, incoming, outgoing, parsed: request, timeout });
      // From here on the response is ours: Fastify must not send one, too.
      response.hijack?.();
      relay(answer, outgoing);
    } catch (cause) {
      if (!(cause instanceof ForwardError)) throw cause;
      throw this.forwardFailure(response, error, cause);
    }
    // Nest would go on with the handler, or answer with an error: for this request nothing is left to do.
    return new Promise<never>(() => undefined);
  }

  private redirection(response: Response, error: NotLeaderError, { base, path }: LeaderTarget): Error {
    this.nameLeader(response, error);
    this.adapterHost.httpAdapter.setHeader(response, 'Location', base.origin + path);
    const statusCode = HttpStatus.TEMPORARY_REDIRECT;
    return new HttpException({ statusCode, message: error.message }, statusCode, { cause: error });
  }

  private refusal(response: Response, error: NotLeaderError): Error {
    this.nameLeader(response, error);
    this.askAgain(response, error);
    const { statusCode, message } = error;
    // An exception of Nest: those are answered without an entry in the log, and a refusal is nothing to report.
    return new ServiceUnavailableException({ statusCode, error: 'Service Unavailable', message }, { cause: error });
  }

  private forwardFailure(response: Response, error: NotLeaderError, cause: ForwardError): Error {
    this.nameLeader(response, error);
    const { statusCode } = cause;
    if (statusCode === 503) this.askAgain(response, error);
    const message = 'The request was forwarded to the leader, which did not answer.';
    return new HttpException({ statusCode, message }, statusCode, { cause });
  }

  private askAgain(response: Response, { retryAfter }: NotLeaderError): void {
    this.adapterHost.httpAdapter.setHeader(response, 'Retry-After', String(Math.ceil(retryAfter / 1000)));
  }

  private nameLeader(response: Response, { leader }: NotLeaderError): void {
    if (leader) this.adapterHost.httpAdapter.setHeader(response, 'X-Leader', leader.url ?? leader.id);
  }
}

/** What a caller gets to know that is no HTTP client. Whoever handles its messages has the package installed. */
async function refusalOf(error: NotLeaderError, type: string): Promise<Error> {
  const { statusCode, message } = error;
  // Not its metadata: that is for other instances.
  const leader = error.leader && { id: error.leader.id, url: error.leader.url };
  const payload = { status: 'error', statusCode, message, leader };
  if (type === 'rpc') {
    const { RpcException } = await import('@nestjs/microservices');
    return new RpcException(payload);
  }
  if (type === 'ws') {
    const { WsException } = await import('@nestjs/websockets');
    return new WsException(payload);
  }
  // What a GraphQL server copies into its answer.
  return Object.assign(error, { extensions: { code: error.code, leader } });
}
