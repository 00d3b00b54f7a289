/** The methods that the decorators accept. */
export type AsyncMethod = (...args: never[]) => Promise<unknown>;

/** `unknown`, or a type that no method has where the decorator may skip a call whose result cannot be undefined. */
export type SkipFits<Choice, Method extends AsyncMethod> = 'skip' extends Choice
  ? undefined extends Awaited<ReturnType<Method>>
    ? unknown
    : { "'skip' returns undefined, which the method's result does not allow": never }
  : unknown;
