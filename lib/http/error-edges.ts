import {
  type ArgumentsHost,
  type CallHandler,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  HttpException,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';
import { catchError, type Observable, throwError } from 'rxjs';
import type { DistLockError } from '../core/errors.js';
import {
  graphqlErrorOf,
  httpErrorOf,
  internalErrorOf,
  isUnanswered,
  payloadOf,
  requestErrorOf,
} from './request-errors.js';

/**
 * Where errors of this package leave the application:
 *
 * 1. A handler, by the interceptor. It is the innermost one, so that all other interceptors and all filters, whatever
 *    they catch, see an exception of Nest.
 * 2. A guard or a middleware, by the filter: no interceptor runs there. A filter of a method or a controller, and one
 *    of `useGlobalFilters`, comes before it and sees the error itself. Nest has no global filters for gateways.
 */
class ErrorInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      catchError(async (error: unknown) => {
        throw isUnanswered(error) ? await requestErrorOf(error, context) : error;
      }),
    );
  }
}

/** The only one: handlers are shared by the applications of a process, and by the registrations of an application. */
const interceptor = new ErrorInterceptor();
const INTERCEPTORS = '__interceptors__';

/** Before Nest reads the interceptors of the handler: while the application is being created. */
export function interceptErrorsOf(handler: object): void {
  const others = (Reflect.getMetadata(INTERCEPTORS, handler) as unknown[] | undefined) ?? [];
  if (others.includes(interceptor)) return;
  Reflect.defineMetadata(INTERCEPTORS, [...others, interceptor], handler);
}

/** For `@Catch()`, which asks by `instanceof`: not what the interceptor has thrown. */
class UnansweredError {
  static [Symbol.hasInstance](value: unknown): boolean {
    return isUnanswered(value);
  }
}

@Catch(UnansweredError)
@Injectable()
export class ErrorFilter implements ExceptionFilter {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: DistLockError, host: ArgumentsHost): unknown {
    switch (host.getType<string>()) {
      case 'http': {
        const answer = httpErrorOf(error, host);
        const exception = answer instanceof HttpException ? answer : internalErrorOf(error);
        return new BaseExceptionFilter(this.adapterHost.httpAdapter).catch(exception, host);
      }
      case 'graphql':
        return graphqlErrorOf(error);
      case 'rpc':
        return throwError(() => payloadOf(error));
      default:
        throw error;
    }
  }
}
