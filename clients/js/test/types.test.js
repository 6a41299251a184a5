/** What the types declare is there, and what is there is declared. */

import assert from "node:assert/strict";
import { test } from "node:test";
import ts from "typescript";

for (const name of ["index", "player", "painter"]) {
  test(name, async () => {
    const path = new URL(`../src/${name}.d.ts`, import.meta.url).pathname;
    const program = ts.createProgram([path], { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext });
    const checker = program.getTypeChecker();
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(path)));
    const values = exported.filter(({ flags }) => flags & ts.SymbolFlags.Value);
    const found = await import(`../src/${name}.js`);
    assert.deepEqual(values.map((symbol) => symbol.name).sort(), Object.keys(found).sort());
    for (const symbol of values.filter(({ flags }) => flags & ts.SymbolFlags.Class)) {
      const methods = [...symbol.members].filter(([, { flags }]) => flags & ts.SymbolFlags.Method);
      for (const [method] of methods) {
        if (method.startsWith("__")) continue; // well-known symbols
        assert.equal(typeof found[symbol.name].prototype[method], "function", `${symbol.name}.${method}`);
      }
    }
  });
}
