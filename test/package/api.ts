import { join } from 'node:path';
import ts from 'typescript';
import { ROOT } from './repository.js';

/** The entries of the package and the files that they are built from. */
export const ENTRIES = {
  'nestjs-dist-lock': 'lib/index.ts',
  'nestjs-dist-lock/memory': 'lib/drivers/memory/index.ts',
  'nestjs-dist-lock/redis': 'lib/drivers/redis/index.ts',
  'nestjs-dist-lock/etcd': 'lib/drivers/etcd/index.ts',
  'nestjs-dist-lock/testing': 'lib/testing/index.ts',
} as const;

export type Entry = keyof typeof ENTRIES;

/** The compiler's options for the code of this repository. */
export function compilerOptions(): ts.CompilerOptions {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config as object;
  return { ...ts.parseJsonConfigFileContent(config, ts.sys, ROOT).options, noEmit: true };
}

/** The public interface of the package, read from its types: what the documentation has to agree with. */
export class Api {
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;
  readonly #exports: ReadonlyMap<string, ts.Symbol>;

  constructor() {
    const files = Object.values(ENTRIES).map((file) => join(ROOT, file));
    this.#program = ts.createProgram(files, compilerOptions());
    this.#checker = this.#program.getTypeChecker();
    const entries = Object.keys(ENTRIES) as Entry[];
    this.#exports = new Map(
      entries.flatMap((entry) => this.#symbolsOf(entry)).map((symbol) => [symbol.name, this.#resolved(symbol)]),
    );
  }

  /** All names that an entry exports, types included. */
  names(entry: Entry): string[] {
    return this.#symbolsOf(entry).map(({ name }) => name);
  }

  /** The exported functions with this kind of name. */
  functions(pattern: RegExp): string[] {
    return this.#matching(pattern, ts.SymbolFlags.Function | ts.SymbolFlags.BlockScopedVariable);
  }

  classes(pattern: RegExp): string[] {
    return this.#matching(pattern, ts.SymbolFlags.Class);
  }

  interfaces(pattern: RegExp): string[] {
    return this.#matching(pattern, ts.SymbolFlags.Interface);
  }

  has(name: string): boolean {
    return this.#exports.has(name);
  }

  /** The public members that an exported class or interface declares itself, without those that it inherits. */
  members(name: string): string[] {
    return this.#declared(name).map((member) => member.name);
  }

  /** As `members`, for options: those in an option that is an object have a dot, `instance.id`. */
  options(name: string): string[] {
    return this.#options(name).map(([option]) => option);
  }

  /** The text of `@defaultValue` in the doc comment of each option. An option without one is not in the map. */
  defaultValues(name: string): Map<string, string> {
    return new Map(
      this.#options(name).flatMap(([option, symbol]) =>
        symbol
          .getJsDocTags()
          .filter((tag) => tag.name === 'defaultValue')
          .map((tag): [string, string] => [option, ts.displayPartsToString(tag.text).replaceAll(/\s+/g, ' ')]),
      ),
    );
  }

  /** Of a union of objects with a `type`: the other members of each, by its type. */
  variants(name: string): Map<string, string[]> {
    const union = this.#checker.getDeclaredTypeOfSymbol(this.#exports.get(name)!);
    return new Map(
      (union.isUnion() ? union.types : [union]).map((variant) => {
        const type = this.#checker.getTypeOfSymbol(variant.getProperty('type')!) as ts.StringLiteralType;
        const members = variant.getProperties().map((member) => member.name);
        return [type.value, members.filter((member) => member !== 'type')];
      }),
    );
  }

  #symbolsOf(entry: Entry): ts.Symbol[] {
    const file = this.#program.getSourceFile(join(ROOT, ENTRIES[entry]))!;
    return this.#checker.getExportsOfModule(this.#checker.getSymbolAtLocation(file)!);
  }

  #resolved(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol;
  }

  #matching(pattern: RegExp, flags: ts.SymbolFlags): string[] {
    return [...this.#exports]
      .filter(([name, symbol]) => pattern.test(name) && symbol.flags & flags)
      .map(([name]) => name);
  }

  #declared(name: string): ts.Symbol[] {
    const { symbol } = this.#checker.getDeclaredTypeOfSymbol(this.#exports.get(name)!);
    return [...(symbol.members?.values() ?? [])].filter(isPublic);
  }

  #options(name: string): [name: string, option: ts.Symbol][] {
    return this.#declared(name).flatMap((member) => this.#nested(member, ''));
  }

  #nested(option: ts.Symbol, prefix: string): [name: string, option: ts.Symbol][] {
    const name = prefix + option.name;
    const type = this.#checker.getNonNullableType(this.#checker.getTypeOfSymbol(option));
    const isObject = ((type.symbol?.flags ?? 0) & ts.SymbolFlags.TypeLiteral) !== 0;
    const inner = isObject ? type.getProperties().flatMap((each) => this.#nested(each, `${name}.`)) : [];
    return inner.length > 0 ? inner : [[name, option]];
  }
}

function isPublic(member: ts.Symbol): boolean {
  if (member.name.startsWith('__') || member.getJsDocTags().some(({ name }) => name === 'internal')) return false;
  return (member.declarations ?? []).every((declaration) => {
    const name = ts.getNameOfDeclaration(declaration);
    const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
    return !(name && ts.isPrivateIdentifier(name)) && (ts.getCombinedModifierFlags(declaration) & hidden) === 0;
  });
}
