import ts from 'typescript';
import { filesBelow, read } from './repository.js';

/**
 * Finds the messages of lib: the texts of errors, of refused options, of log lines and warnings, and the repairs in tables
 * of errors. `…` stands for a value that is put in at run time.
 *
 * A text is followed backwards from the place where it becomes a message (`REPORTS`, `new …Error()`, `message:`, `repair:`, `reason:`):
 * through constants, `+`, `?:`, functions of lib that return it, and parameters to the calls that pass it. A sentence that
 * a message puts in is a message of its own, since a reader searches for it.
 *
 * Not covered: texts of types (TypeScript shows those when it compiles), texts of other packages that a message quotes,
 * texts without two words, and texts that are built in a loop.
 */

export interface Message {
  readonly text: string;
  readonly file: string;
}

/** Calls that make a message of an argument, by the last part of their name. */
const REPORTS: ReadonlySet<string> = new Set([
  'problem',
  'warn',
  'error',
  'log',
  'warning',
  'emitWarning',
  'warnOnce',
  // Nest shows the description of a token that it cannot resolve.
  'Symbol',
]);

/** Reasons that never reach a message: `reasons.ts` of the Redis driver leaves them out. */
export const INTERNAL: ReadonlySet<string> = new Set(['Connection is closed.']);

export function messagesOfLib(): Message[] {
  const files = filesBelow('lib', /\.ts$/).filter((file) => !/generated|^lib\/testing\//.test(file));
  return messagesOf(new Map(files.map((file) => [file, read(file)])));
}

/** @param code the texts of the files, by their paths */
export function messagesOf(code: ReadonlyMap<string, string>): Message[] {
  const sources = [...code].map(([file, text]) => ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return new Messages(sources).all();
}

type Callable = ts.FunctionDeclaration | ts.MethodDeclaration | ts.ArrowFunction | ts.FunctionExpression;

/** `A` calls `B`: no text is followed through more of them. */
const DEPTH = 16;

class Messages {
  readonly #sources: readonly ts.SourceFile[];
  readonly #functions = new Map<string, Callable[]>();
  readonly #calls = new Map<string, ts.CallExpression[]>();
  readonly #constants = new Map<string, ts.Expression>();
  readonly #found = new Map<string, Message>();
  readonly #followed = new Set<ts.Node>();

  constructor(sources: readonly ts.SourceFile[]) {
    this.#sources = sources;
    for (const source of sources) walk(source, (node) => this.#index(node));
  }

  all(): Message[] {
    for (const source of this.#sources) walk(source, (node) => this.#look(node));
    return [...this.#found.values()];
  }

  #index(node: ts.Node): void {
    if (isCallable(node)) listOf(this.#functions, nameOfCallable(node)).push(node);
    if (ts.isCallExpression(node)) listOf(this.#calls, nameOf(node.expression)).push(node);
    if (ts.isVariableStatement(node) && node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) {
      for (const { name, initializer } of node.declarationList.declarations) {
        if (initializer) this.#constants.set(name.getText(), initializer);
      }
    }
  }

  #look(node: ts.Node): void {
    if (ts.isNewExpression(node) && /(?:Error|Exception)$/.test(node.expression.getText())) {
      node.arguments?.forEach((argument) => this.#report(argument));
    }
    if (ts.isCallExpression(node)) {
      if (node.expression.kind === ts.SyntaxKind.SuperKeyword && isInError(node)) {
        node.arguments.forEach((argument) => this.#report(argument));
      } else if (REPORTS.has(nameOf(node.expression))) this.#report(node.arguments[0]);
    }
    if (ts.isPropertyAssignment(node) && /^(?:repair|message|reason)$/.test(node.name.getText())) {
      this.#report(node.initializer);
    }
    if (ts.isShorthandPropertyAssignment(node) && /^(?:message|reason)$/.test(node.name.text)) this.#report(node.name);
  }

  #report(expression: ts.Expression | undefined, depth = 0): void {
    if (!expression || depth > DEPTH) return;
    const file = expression.getSourceFile().fileName;
    for (const written of this.#textsOf(expression, depth)) {
      const text = tidy(written);
      if ((depth === 0 ? isSentence : isPart)(text) && !INTERNAL.has(text) && !this.#found.has(text))
        this.#found.set(text, { text, file });
    }
  }

  /** All that an expression can say, as far as that stands in the code. Reports the sentences that it puts in. */
  #textsOf(expression: ts.Expression, depth: number): string[] {
    const of = (part: ts.Expression): string[] => this.#textsOf(part, depth);
    if (depth > DEPTH) return ['…'];
    if (ts.isStringLiteralLike(expression)) return [expression.text];
    if (ts.isParenthesizedExpression(expression) || ts.isAwaitExpression(expression)) return of(expression.expression);
    if (ts.isConditionalExpression(expression)) return [...of(expression.whenTrue), ...of(expression.whenFalse)];
    if (ts.isBinaryExpression(expression)) return this.#ofBinary(expression, depth);
    if (ts.isTemplateExpression(expression)) return [this.#ofTemplate(expression, depth)];
    if (ts.isArrayLiteralExpression(expression)) return expression.elements.flatMap(of);
    if (ts.isSpreadElement(expression)) return of(expression.expression);
    if (ts.isIdentifier(expression)) return this.#ofIdentifier(expression, depth);
    if (ts.isElementAccessExpression(expression)) return this.#ofTable(expression.expression, depth);
    if (ts.isCallExpression(expression)) return this.#ofCall(expression, depth);
    return ['…'];
  }

  #ofBinary({ left, right, operatorToken }: ts.BinaryExpression, depth: number): string[] {
    const [begins, ends] = [this.#textsOf(left, depth), this.#textsOf(right, depth)];
    if (operatorToken.kind === ts.SyntaxKind.PlusToken) return begins.flatMap((text) => ends.map((end) => text + end));
    const isEither = [ts.SyntaxKind.QuestionQuestionToken, ts.SyntaxKind.BarBarToken].includes(operatorToken.kind);
    return isEither ? [...begins, ...ends] : ends;
  }

  #ofTemplate({ head, templateSpans }: ts.TemplateExpression, depth: number): string {
    const spans = templateSpans.map(({ expression, literal }) => {
      const constant = ts.isIdentifier(expression) ? this.#constantOf(expression) : undefined;
      if (constant && ts.isStringLiteralLike(constant)) return constant.text + literal.text;
      this.#report(expression, depth + 1);
      return `…${literal.text}`;
    });
    return head.text + spans.join('');
  }

  #ofIdentifier(identifier: ts.Identifier, depth: number): string[] {
    const declaration = declarationOf(identifier);
    if (declaration && ts.isParameter(declaration)) this.#followParameter(declaration, depth);
    const value = this.#constantOf(identifier);
    return value ? this.#textsOf(value, depth + 1) : ['…'];
  }

  #constantOf(identifier: ts.Identifier): ts.Expression | undefined {
    const declaration = declarationOf(identifier);
    if (!declaration) return this.#constants.get(identifier.text);
    if (ts.isParameter(declaration)) return ts.isIdentifier(declaration.name) ? declaration.initializer : undefined;
    const loop = declaration.parent.parent;
    if (ts.isForOfStatement(loop)) return loop.expression;
    // Of `const { a } = b` nothing is known.
    return ts.isIdentifier(declaration.name) ? declaration.initializer : undefined;
  }

  /** What the calls of its function pass is reported. */
  #followParameter(parameter: ts.ParameterDeclaration, depth: number): void {
    const owner = parameter.parent;
    if (!isCallable(owner) || this.#followed.has(parameter)) return;
    this.#followed.add(parameter);
    const index = owner.parameters.indexOf(parameter);
    const file = owner.getSourceFile();
    for (const call of this.#calls.get(nameOfCallable(owner)) ?? []) {
      if (call.getSourceFile() === file || isPublic(owner)) this.#report(call.arguments[index], depth + 1);
    }
  }

  /** Of `table[name]`: the texts in the table. */
  #ofTable(expression: ts.Expression, depth: number): string[] {
    const table = ts.isIdentifier(expression) ? this.#constantOf(expression) : undefined;
    if (!table || !ts.isObjectLiteralExpression(table)) return ['…'];
    return table.properties.flatMap((property) =>
      ts.isPropertyAssignment(property) ? this.#textsOf(property.initializer, depth + 1) : ['…'],
    );
  }

  #ofCall(call: ts.CallExpression, depth: number): string[] {
    const name = nameOf(call.expression);
    if (ts.isPropertyAccessExpression(call.expression)) {
      const { expression: list } = call.expression;
      if (['join', 'filter'].includes(name)) {
        this.#report(list, depth + 1);
        return name === 'join' ? ['…'] : this.#textsOf(list, depth + 1);
      }
      // What another package says in words of ours.
      if (name === 'replace') {
        this.#report(call.arguments[1], depth + 1);
        return this.#textsOf(list, depth + 1);
      }
      if (name === 'trim') return this.#textsOf(list, depth + 1);
      const [mapper] = call.arguments;
      if (name === 'map' && mapper && isCallable(mapper)) return this.#returnsOf(mapper, depth);
    }
    const file = call.getSourceFile();
    const called = (this.#functions.get(name) ?? []).filter((each) => each.getSourceFile() === file || isPublic(each));
    const texts = called.flatMap((each) => this.#returnsOf(each, depth));
    return texts.length > 0 ? texts : ['…'];
  }

  #returnsOf({ body }: Callable, depth: number): string[] {
    if (!body) return ['…'];
    if (!ts.isBlock(body)) return this.#textsOf(body, depth + 1);
    const texts: string[] = [];
    walk(body, (node) => {
      if (isCallable(node)) return false;
      if (ts.isReturnStatement(node) && node.expression) texts.push(...this.#textsOf(node.expression, depth + 1));
      // A list that is returned in the end.
      if (ts.isCallExpression(node) && nameOf(node.expression) === 'push') {
        texts.push(...node.arguments.flatMap((argument) => this.#textsOf(argument, depth + 1)));
      }
      return true;
    });
    return texts;
  }
}

/** Two words at least: not a name, a code, or a part that says nothing by itself. */
function isSentence(text: string): boolean {
  return text.replaceAll('…', '').length > 12 && /\p{L}[^\p{L}]*\s[^\p{L}]*\p{L}/u.test(text);
}

/** As a sentence that stands alone, but longer, and not a noun with its article only. */
function isPart(text: string): boolean {
  return isSentence(text) && text.replaceAll('…', '').length > 16 && !/^(?:an?|this) [^.]*$/.test(text);
}

/** Without what joins it to a text before it. */
function tidy(text: string): string {
  return text
    .replaceAll(/…(?:…)+/g, '…')
    .replace(/^[\s,:;.]+/, '')
    .trim();
}

function walk(node: ts.Node, visit: (node: ts.Node) => boolean | void): void {
  ts.forEachChild(node, (child) => {
    if (visit(child) !== false) walk(child, visit);
  });
}

function listOf<T>(lists: Map<string, T[]>, name: string): T[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

function isCallable(node: ts.Node): node is Callable {
  return (
    ts.isFunctionDeclaration(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isArrowFunction(node) ||
    ts.isFunctionExpression(node)
  );
}

/** Whether code of other files can call it. */
function isPublic(node: Callable): boolean {
  if (ts.isMethodDeclaration(node)) return !ts.isPrivateIdentifier(node.name);
  return ts.isFunctionDeclaration(node) && !!node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
}

function isInError(node: ts.Node): boolean {
  const owner = ts.findAncestor(node, ts.isClassDeclaration);
  return owner?.name?.text.endsWith('Error') ?? false;
}

function nameOf(expression: ts.Expression): string {
  const name = ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText();
  return name.replace('#', '');
}

function nameOfCallable(node: Callable): string {
  const named = ts.isVariableDeclaration(node.parent) ? node.parent : node;
  return named.name?.getText().replace('#', '') ?? '';
}

type Declaration = ts.VariableDeclaration | ts.ParameterDeclaration;

/** The variable or the parameter that a name means: that of the nearest scope. */
function declarationOf(identifier: ts.Identifier): Declaration | undefined {
  for (let scope: ts.Node | undefined = identifier.parent; scope; scope = scope.parent) {
    const found = declaredIn(scope, identifier.text);
    if (found) return found;
  }
  return undefined;
}

function declaredIn(scope: ts.Node, name: string): Declaration | undefined {
  if (isCallable(scope) || ts.isConstructorDeclaration(scope)) {
    return scope.parameters.find((parameter) => namesIn(parameter.name).includes(name));
  }
  const isScope = ts.isSourceFile(scope) || ts.isBlock(scope) || ts.isForOfStatement(scope) || ts.isCaseClause(scope);
  if (!isScope) return undefined;
  let found: Declaration | undefined;
  walk(scope, (node) => {
    if (ts.isVariableDeclaration(node) && namesIn(node.name).includes(name)) found ??= node;
    return !isCallable(node) && !ts.isClassDeclaration(node) && !ts.isBlock(node);
  });
  return found;
}

function namesIn(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : namesIn(element.name)));
}
