import { OptionsCheck } from '../core/options-check.js';
import { DEFAULT_ELECTION } from '../leader/election-options.js';
import type { CallbackArguments, CallbackKind } from '../leader/term-callbacks.js';
import { DEFAULT_REGISTRATION, getLeaderToken } from './injection.js';
import { decoratedMethod, ensureSlot } from './wrap-method.js';

export interface LeaderCallbackOptions {
  /** Default: the election named `default`. */
  election?: string;
  /** The named registration that the election belongs to. Default: the registration without a name. */
  registration?: string;
}

/** Accepts methods that take what the callback is given, or less. */
export type LeaderCallbackDecorator<Kind extends CallbackKind> = <
  Method extends (argument: CallbackArguments[Kind]) => unknown,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/** What the decorators leave on a method. */
export interface LeaderCallbackMark {
  readonly kind: CallbackKind;
  readonly decorator: string;
  readonly election: string;
  readonly registration: string;
}

const MARKS = 'nestjs-dist-lock:leader-callbacks';

/**
 * Calls the method when this instance has begun to lead, with `{ term, signal }`. What it returns is leader work: when
 * the term ends the signal aborts, and the hand-over waits for the promise, at most the grace period. An error ends the
 * term. Each call is followed by one of the `@OnStoppedLeading()` methods of the same election.
 *
 * @param election its name, or options; default: the election named `default`
 */
export function OnStartedLeading(election?: string | LeaderCallbackOptions): LeaderCallbackDecorator<'started'> {
  return callback('OnStartedLeading', 'started', election);
}

/**
 * Calls the method when a term of this instance has ended, with the reason as a text for people: after all
 * `@OnStartedLeading()` methods have settled, or the grace period is over. The hand-over waits for it within the same
 * grace period, and the next campaign however long it takes.
 *
 * @param election its name, or options; default: the election named `default`
 */
export function OnStoppedLeading(election?: string | LeaderCallbackOptions): LeaderCallbackDecorator<'stopped'> {
  return callback('OnStoppedLeading', 'stopped', election);
}

/**
 * Calls the method with the member that leads, once this instance learns of it; with this instance, too, when it leads
 * itself, where an error ends the term.
 *
 * @param election its name, or options; default: the election named `default`
 */
export function OnNewLeader(election?: string | LeaderCallbackOptions): LeaderCallbackDecorator<'newLeader'> {
  return callback('OnNewLeader', 'newLeader', election);
}

export function leaderCallbackMarksOf(method: object): readonly LeaderCallbackMark[] {
  return (Reflect.getMetadata(MARKS, method) as LeaderCallbackMark[] | undefined) ?? [];
}

function callback<Kind extends CallbackKind>(
  decorator: string,
  kind: Kind,
  given: string | LeaderCallbackOptions = {},
): LeaderCallbackDecorator<Kind> {
  const check = new OptionsCheck(`@${decorator}`);
  const options = check.object(typeof given === 'string' ? { election: given } : given, '', [
    'election',
    'registration',
  ]);
  const { election = DEFAULT_ELECTION, registration = DEFAULT_REGISTRATION } = options;
  check.ofType(election, 'election', 'string');
  check.ofType(registration, 'registration', 'string');
  check.done();

  return (target, property, descriptor) => {
    const { original: method } = decoratedMethod(decorator, [target, property, descriptor]);
    // Without the module, or the election, the application must not start.
    ensureSlot(target, getLeaderToken(election, registration));
    const mark: LeaderCallbackMark = { kind, decorator, election, registration };
    Reflect.defineMetadata(MARKS, [...leaderCallbackMarksOf(method), mark], method);
  };
}
