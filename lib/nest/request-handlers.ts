import { Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { isGuardedHandler, methodsOf } from '../decorators/framework-metadata.js';
import { interceptErrorsOf } from '../http/error-edges.js';
import { discovered } from './discovered.js';

/**
 * Gives every handler of requests, messages and queries the interceptor for the errors of this package. Not by
 * `APP_INTERCEPTOR`: that one is outside of the interceptors of controllers and methods, and does not reach the message
 * handlers of a hybrid application.
 */
@Injectable()
export class RequestHandlers {
  // While the application is being created: Nest reads the interceptors of message handlers before `onModuleInit`.
  constructor(discovery: DiscoveryService) {
    for (const { type } of discovered(discovery)) {
      for (const method of type ? methodsOf(type.prototype).values() : []) {
        if (isGuardedHandler(method)) interceptErrorsOf(method);
      }
    }
  }
}
