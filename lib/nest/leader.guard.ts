import { type CanActivate, type ExecutionContext, Injectable, ServiceUnavailableException } from '@nestjs/common';
import { HttpAdapterHost, ModuleRef, Reflector } from '@nestjs/core';
import { NotLeaderError } from '../core/errors.js';
import type { LeaderService } from '../leader/leader.service.js';

export const LEADER_ONLY = 'nestjs-dist-lock:leader-only';

export interface LeaderOnlyMetadata {
  readonly token: string;
}

/** Refuses requests to `@LeaderOnly()` handlers on other instances, before pipes and interceptors run. */
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
      throw await this.refusal(context, error);
    }
  }

  private async refusal(context: ExecutionContext, error: NotLeaderError): Promise<Error> {
    const { statusCode, message, leader } = error;
    if (context.getType() === 'http') {
      const response: unknown = context.switchToHttp().getResponse();
      const { httpAdapter } = this.adapterHost;
      httpAdapter.setHeader(response, 'Retry-After', String(Math.ceil(error.retryAfter / 1000)));
      if (error.leader) httpAdapter.setHeader(response, 'X-Leader', error.leader.url ?? error.leader.id);
      // An exception of Nest: those are answered without an entry in the log, and a refusal is nothing to report.
      return new ServiceUnavailableException({ statusCode, error: 'Service Unavailable', message }, { cause: error });
    }
    if (context.getType() !== 'rpc') return error;
    // Only an RpcException reaches the caller. Whoever handles messages has this package installed.
    const { RpcException } = await import('@nestjs/microservices');
    return new RpcException({ status: 'error', statusCode, message, leader });
  }
}
