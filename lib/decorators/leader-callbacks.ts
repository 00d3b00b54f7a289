import { OptionsCheck } from '../core/options-check.js';
import { DEFAULT_ELECTION } from '../leader/election-options.js';
import type { CallbackArguments, CallbackKind } from '../leader/term-callbacks.js';
import { DEFAULT_REGISTRATION, getLeaderToken } from './injection.js';
import { decoratedMethod, ensureSlot } from './wrap-method.js';

/** Options of `@OnStartedLeading()`, `@OnStoppedLeading()` and `@OnNewLeader()`. */
export interface LeaderCallbackOptions {
  /**
   * The name of the election to follow.
   *
   * @defaultValue `'default'`
   */
  election?: string;
  /**
   * The registration that the election belongs to.
   *
   * @defaultValue the registration without a name
   */
  registration?: string;
}

/** Accepts methods whose parameter fits the argument of the callback, and methods without a parameter. */
export type LeaderCallbackDecorator<Kind extends CallbackKind> = <
  Method extends (argument: CallbackArguments[Kind]) => unknown,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/** The record of a callback decorator, kept as metadata of the method. */
export interface LeaderCallbackMark {
  readonly kind: CallbackKind;
  readonly decorator: string;
  readonly election: string;
  readonly registration: string;
}

const MARKS = 'nestjs-dist-lock:leader-callbacks';

/**
 * Calls the method when this instance begins to lead, with `{ term, signal }`. The promise that the method returns is
 * leader work: when the term ends the signal aborts, and the hand-over waits for the promise, for the grace period at
 * most. An error of the method ends the term. After the term the `@OnStoppedLeading()` methods of the election are
 * called.
 *
 * @param election the name of the election, or options; default: the election named `default`
 * @throws LockConfigError at once, when an option is wrong
 */
export function OnStartedLeading(election?: string | LeaderCallbackOptions): LeaderCallbackDecorator<'started'> {
  return callback('OnStartedLeading', 'started', election);
}

/**
 * Calls the method when a term of this instance has ended, with the reason as a text for people. The call waits until
 * all `@OnStartedLeading()` methods have settled, for the grace period at most. The hand-over waits for the method
 * within the same grace period. The next campaign of this instance waits for the method without a limit.
 *
 * @param election the name of the election, or options; default: the election named `default`
 * @throws LockConfigError at once, when an option is wrong
 */
export function OnStoppedLeading(election?: string | LeaderCallbackOptions): LeaderCallbackDecorator<'stopped'> {
  return callback('OnStoppedLeading', 'stopped', election);
}

/**
 * Calls the method with the `Member` that leads, when this instance learns of a new leader. The leader may be this
 * instance; then an error of the method ends the term.
 *
 * @param election the name of the election, or options; default: the election named `default`
 * @throws LockConfigError at once, when an option is wrong
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
    // The slot stays unused. Nest has to resolve it, so without the module or the election no application starts.
    ensureSlot(target, getLeaderToken(election, registration));
    const mark: LeaderCallbackMark = { kind, decorator, election, registration };
    Reflect.defineMetadata(MARKS, [...leaderCallbackMarksOf(method), mark], method);
  };
}
