import { type ServerResponse, STATUS_CODES } from 'node:http';
import {
  type ArgumentsHost,
  BadRequestException,
  ConflictException,
  type ExecutionContext,
  HttpException,
  Logger,
  NotFoundException,
  ServiceUnavailableException,
} from '@nestjs/common';
import { DistLockError, type DistLockErrorCode, isStandIn, NotLeaderError, standIn } from '../core/errors.js';
import { guarded } from '../core/guarded.js';
import { TooManyWaitingError } from '../core/lock-errors.js';

/**
 * What the sender of a request is told about an error of this package:
 *
 * 1. The status, the `code` and a sentence. No message of an error: it names keys, hosts and processes.
 * 2. An exception of Nest for the kind of the request, which every filter understands. It passes for the error itself,
 *    too, so that a filter for the error catches it.
 * 3. A mistake of the code (status 500) is left as it is, for those who report errors. Only GraphQL would show its
 *    message.
 */
const SENTENCES: Partial<Record<DistLockErrorCode, string>> = {
  DRIVER_UNAVAILABLE: 'The service cannot answer this request at the moment. Try again later.',
  LOCK_KEY: 'A value of the request is missing or cannot be used.',
  LOCK_LOST: 'The request was interrupted before it was done. Check its result before you try again.',
  LOCK_NOT_ACQUIRED: 'Another request of the same kind is being processed. Try again later.',
  LOCK_SERVICE_CLOSED: 'The service is about to restart. Try again later.',
  LOCK_TOO_MANY_WAITING: 'Too many requests of the same kind are waiting. Try again later.',
  MEMBER_NOT_FOUND: 'No candidate has this name.',
  NOT_LEADER: 'This instance cannot answer the request. Try again later.',
};
const INTERNAL = 'Internal server error';

const EXCEPTIONS: Readonly<Record<number, new (body: object) => HttpException>> = {
  400: BadRequestException,
  404: NotFoundException,
  409: ConflictException,
  503: ServiceUnavailableException,
};

/** Milliseconds after which a request that was answered 503 is worth another try, where nobody knows better. */
const TRY_AGAIN = 1000;

type Response = ServerResponse & { readonly raw?: ServerResponse };

/** Whether it is an error of this package that no request has been answered with yet. */
export function isUnanswered(error: unknown): error is DistLockError {
  return error instanceof DistLockError && !isStandIn(error);
}

/**
 * The error that leaves a handler instead of `error`. Nobody receives the error of an event, so that one stays as it is
 * and is logged.
 */
export async function requestErrorOf(error: DistLockError, context: ExecutionContext): Promise<Error> {
  switch (context.getType<string>()) {
    case 'http':
      return httpErrorOf(error, context);
    case 'graphql':
      return graphqlErrorOf(error);
    case 'rpc':
      return isRefusal(error) && !isEvent(context.getHandler()) ? rpcErrorOf(error) : error;
    case 'ws':
      return isRefusal(error) ? wsErrorOf(error) : error;
    default:
      return error;
  }
}

/** Adds the headers that belong to the answer. */
export function httpErrorOf(error: DistLockError, host: ArgumentsHost): DistLockError | HttpException {
  if (!isRefusal(error)) return error;
  report(error);
  const response = host.switchToHttp().getResponse<Response>();
  if (error.statusCode === 503) askAgain(response, error);
  nameLeader(response, error);
  return refusalOf(error);
}

export function graphqlErrorOf(error: DistLockError): Error {
  const { code } = error;
  if (isRefusal(error)) {
    report(error);
    return Object.assign(refusalOf(error), { extensions: { code, ...leaderPart(error) } });
  }
  // With the stack of the error, for the log.
  const hidden = Object.assign(new Error(INTERNAL), { stack: error.stack, extensions: { code } });
  return standIn(hidden, error);
}

/** Whoever handles messages has the package installed. */
async function rpcErrorOf(error: DistLockError): Promise<Error> {
  const { RpcException } = await import('@nestjs/microservices');
  return standIn(new RpcException(payloadOf(error)), error);
}

async function wsErrorOf(error: DistLockError): Promise<Error> {
  const { WsException } = await import('@nestjs/websockets');
  return standIn(new WsException(payloadOf(error)), error);
}

/** What is sent over a transport that has no status and no headers. */
export function payloadOf(error: DistLockError): object {
  report(error);
  if (!isRefusal(error)) return { status: 'error', message: INTERNAL };
  const { statusCode, code } = error;
  return { status: 'error', statusCode, code, message: sentenceOf(error), ...leaderPart(error) };
}

/** The answer to a mistake of the code, which is logged here, since Nest does not log its own exceptions. */
export function internalErrorOf(error: DistLockError): HttpException {
  report(error);
  return standIn(new HttpException({ statusCode: 500, message: INTERNAL }, 500), error);
}

function sentenceOf({ code }: DistLockError): string {
  return SENTENCES[code] ?? INTERNAL;
}

export function askAgain(response: Response, error: DistLockError): void {
  const knows = error instanceof NotLeaderError || error instanceof TooManyWaitingError;
  addHeader(response, 'Retry-After', String(Math.ceil((knows ? error.retryAfter : TRY_AGAIN) / 1000)));
}

/** Strangers see the address that the leader registered for them, never its id. */
export function nameLeader(response: Response, error: DistLockError): void {
  const url = leaderUrlOf(error);
  if (url !== undefined) addHeader(response, 'X-Leader', url);
}

/** In the answer of Node, below that of the framework. */
export function addHeader(response: Response, name: string, value: string): void {
  const raw = response.raw ?? response;
  if (!raw.headersSent) raw.setHeader(name, value);
}

/** The answer to a request that may be right at another time, or with other values. */
function isRefusal({ statusCode }: DistLockError): boolean {
  return statusCode !== 500;
}

function refusalOf(error: DistLockError): HttpException {
  const { statusCode, code } = error;
  const body = { statusCode, error: STATUS_CODES[statusCode], code, message: sentenceOf(error) };
  const Exception = EXCEPTIONS[statusCode];
  return standIn(Exception ? new Exception(body) : new HttpException(body, statusCode), error);
}

/** The handler of `@EventPattern()`. */
function isEvent(handler: object): boolean {
  return Reflect.getMetadata('microservices:handler_type', handler) === 2;
}

/** A lock that was lost while it was in use may have done harm; the rest is what locks are for. */
const report = guarded('the logger', (error: DistLockError): void => {
  const logger = new Logger('DistLock');
  if (!isRefusal(error)) logger.error(error.message, error.stack);
  else if (error.code === 'LOCK_LOST') logger.warn(error.message);
  else logger.debug(error.message);
});

function leaderPart(error: DistLockError): object {
  const url = leaderUrlOf(error);
  return url === undefined ? {} : { leader: { url } };
}

function leaderUrlOf(error: DistLockError): string | undefined {
  return error instanceof NotLeaderError ? error.leader?.url : undefined;
}
