import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { type CanActivate, type ExecutionContext, HttpException, HttpStatus, Injectable } from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import type { Milliseconds } from '../core/duration.js';
import { NotLeaderError, standIn } from '../core/errors.js';
import type { LeaderService } from '../leader/leader.service.js';
import type { ParsedRequest } from './forwarded-body.js';
import { forward, FORWARDED, ForwardError, relay } from './leader-forward.js';
import { leaderTarget, type LeaderTarget } from './leader-url.js';
import { addHeader, askAgain, nameLeader, requestErrorOf } from './request-errors.js';

export const LEADER_ONLY = 'nestjs-dist-lock:leader-only';

export interface LeaderOnlyMetadata {
  /** The injection token of the `LeaderService`. */
  readonly token: string;
  readonly otherwise: 'skip' | 'reject' | 'redirect' | 'forward' | undefined;
  /** Time for which the leader may be silent before it answers a forwarded request. */
  readonly timeout: Milliseconds;
}

/** A request of Express is a request of Node.js. A request of Fastify has one as `raw`. */
type Request = IncomingMessage & ParsedRequest & { readonly originalUrl?: string; readonly raw?: IncomingMessage };
type Response = ServerResponse & { readonly raw?: ServerResponse; hijack?(): void };

/**
 * Lets requests pass to `@LeaderOnly()` handlers on the leader. On another instance the guard answers, before pipes and
 * the handler run:
 *
 * 1. A message, an event of a gateway or a GraphQL operation is refused with the exception of its transport.
 * 2. An HTTP request with `redirect` gets a 307 to the leader.
 * 3. An HTTP request with `forward` is sent to the leader, unless another instance has forwarded it already.
 * 4. Every other HTTP request gets a 503, also where `redirect` or `forward` knows no URL of the leader.
 *
 * Not covered: leadership that ends while the handler runs. The wrapper of `@LeaderOnly()` on the method checks again,
 * and the signal of the term aborts.
 */
@Injectable()
export class LeaderGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly moduleRef: ModuleRef,
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
      if (context.getType() !== 'http') throw await requestErrorOf(error, context);
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
    if (otherwise === 'redirect' && target) throw redirection(response, error, target);
    // One hop only: two instances that each take the other for the leader must not play ball.
    if (otherwise !== 'forward' || !target || request.headers[FORWARDED]) throw await requestErrorOf(error, context);

    const incoming = request.raw ?? request;
    const outgoing = response.raw ?? response;
    const { election } = error;
    try {
      const answer = await forward({ target, election, incoming, outgoing, parsed: request, timeout });
      // From now on this guard sends the response. Fastify would send a second one without `hijack()`.
      response.hijack?.();
      relay(answer, outgoing);
    } catch (cause) {
      if (!(cause instanceof ForwardError)) throw cause;
      throw forwardFailure(response, error, cause);
    }
    // The guard never settles. Nest runs the handler after true, and answers 403 after false, although the response is
    // sent (nestjs/docs.nestjs.com#3116).
    return new Promise<never>(() => undefined);
  }
}

function redirection(response: Response, error: NotLeaderError, { base, path }: LeaderTarget): Error {
  nameLeader(response, error);
  addHeader(response, 'Location', base.origin + path);
  const statusCode = HttpStatus.TEMPORARY_REDIRECT;
  const body = { statusCode, code: error.code, message: 'The leader answers this request.' };
  return standIn(new HttpException(body, statusCode), error);
}

function forwardFailure(response: Response, error: NotLeaderError, cause: ForwardError): Error {
  const { statusCode } = cause;
  nameLeader(response, error);
  if (statusCode === 503) askAgain(response, error);
  const message = 'The request was forwarded to the leader, which did not answer.';
  const body = { statusCode, error: STATUS_CODES[statusCode], code: error.code, message };
  return new HttpException(body, statusCode, { cause });
}
