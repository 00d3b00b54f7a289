import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { ROOT } from './consumer.js';

/** A text that an operator or a developer can meet, as it stands in the code: `…` for what is put in at run time. */
export interface Message {
  readonly text: string;
  readonly file: string;
}

/** What turns its first argument into a message, by the last part of its name. */
const CALLS: ReadonlySet<string> = new Set(['problem', 'warn', 'error', 'say', 'refuse', 'log']);

/** All messages in lib: of errors, of options that are refused, of the log, and the repairs in tables of errors. */
export function messagesOfLib(): Message[] {
  const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('generated') && !file.startsWith('testing'))
    .sort();
  return files.flatMap((file) => messagesOf(file, readFileSync(join(ROOT, 'lib', file), 'utf8')));
}

export function messagesOf(file: string, code: string): Message[] {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true);
  const constants = constantsOf(source);
  const texts: string[] = [];
  const add = (expression: ts.Expression | undefined): void => {
    if (expression) texts.push(...textsOf(expression, constants));
  };
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && node.expression.getText().endsWith('Error')) node.arguments?.forEach(add);
    if (ts.isCallExpression(node)) {
      if (node.expression.kind === ts.SyntaxKind.SuperKeyword) node.arguments.forEach(add);
      else if (CALLS.has(nameOf(node.expression))) add(node.arguments[0]);
    }
    if (ts.isPropertyAssignment(node) && /^(repair|message)$/.test(node.name.getText())) add(node.initializer);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...new Set(texts)].filter(isSentence).map((text) => ({ text, file }));
}

/** Not a name, a code, or a part that says nothing by itself. */
function isSentence(text: string): boolean {
  return text.replaceAll('…', '').length > 12 && text.includes(' ');
}

function nameOf(expression: ts.Expression): string {
  const name = ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText();
  return name.replace('#', '');
}

function constantsOf(source: ts.SourceFile): ReadonlyMap<string, ts.Expression> {
  const constants = new Map<string, ts.Expression>();
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer) {
      constants.set(node.name.text, node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return constants;
}

/** What an expression can say, where that stands in the code. */
function textsOf(expression: ts.Expression, constants: ReadonlyMap<string, ts.Expression>): string[] {
  const of = (part: ts.Expression): string[] => textsOf(part, constants);
  if (ts.isStringLiteralLike(expression)) return [expression.text];
  if (ts.isParenthesizedExpression(expression)) return of(expression.expression);
  if (ts.isConditionalExpression(expression)) return [...of(expression.whenTrue), ...of(expression.whenFalse)];
  if (ts.isBinaryExpression(expression) && expression.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const ends = of(expression.right);
    return of(expression.left).flatMap((text) => ends.map((end) => text + end));
  }
  if (ts.isTemplateExpression(expression)) {
    return [expression.head.text + expression.templateSpans.map(({ literal }) => `…${literal.text}`).join('')];
  }
  if (ts.isIdentifier(expression)) {
    const constant = constants.get(expression.text);
    if (
      constant &&
      (ts.isStringLiteralLike(constant) || ts.isTemplateExpression(constant) || ts.isBinaryExpression(constant))
    )
      return of(constant);
  }
  return ['…'];
}
