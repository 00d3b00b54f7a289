import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import { type CanActivate, type ExecutionContext, HttpException, HttpStatus, Injectable } from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import { NotLeaderError, standIn } from '../core/errors.js';
import type { LeaderService } from '../leader/leader.service.js';
import type { ParsedRequest } from './forwarded-body.js';
import { forward, FORWARDED, ForwardError, relay } from './leader-forward.js';
import { leaderTarget, type LeaderTarget } from './leader-url.js';
import { addHeader, askAgain, nameLeader, requestErrorOf } from './request-errors.js';

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
      // From here on the response is ours: Fastify must not send one, too.
      response.hijack?.();
      relay(answer, outgoing);
    } catch (cause) {
      if (!(cause instanceof ForwardError)) throw cause;
      throw forwardFailure(response, error, cause);
    }
    // Nest would go on with the handler, or answer with an error: for this request nothing is left to do.
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
