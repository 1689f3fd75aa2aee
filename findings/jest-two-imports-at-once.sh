#!/usr/bin/env bash
# jest 30.5.2 with --experimental-vm-modules, Node 20.20
#
# Behaviour: two import() calls at the same time, of modules one of which imports the other, fail in Jest: "request for
# './leaf.mjs' is not in cache". One after the other they work, and so do both at once in Node without Jest.
#
# Why it matters: a program that starts fast loads its parts at the same time, by Promise.all over import(). It is right
# and it works, and its tests fail with an error that names a file which is there. The message reads like a wrong path.
# A first import of the shared modules at the top of the test avoids it.
#
# Output seen:
#   node: at once: ok
#   jest: one after the other: ok
#   jest: at once: request for './leaf.mjs' is not in cache
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --save-exact jest@30.5.2

echo '{ "testMatch": ["**/*.test.mjs"], "transform": {} }' > jest.config.json
echo 'export const value = 1;' > leaf.mjs
echo "export * from './leaf.mjs';" > middle.mjs
echo "export * from './middle.mjs';" > top.mjs
at_once="const [top, middle] = await Promise.all([import('./top.mjs'), import('./middle.mjs')]);"
in_turn="const top = await import('./top.mjs'); const middle = await import('./middle.mjs');"
compare='if (top.value !== 1 || middle.value !== 1) throw new Error("wrong value");'
echo "$at_once $compare" > plain.mjs
echo "test('at once', async () => { $at_once $compare });" > at-once.test.mjs
echo "test('in turn', async () => { $in_turn $compare });" > in-turn.test.mjs

status=0
jest() { node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js --runTestsByPath "$1" > "$1.txt" 2>&1; }
node plain.mjs && echo 'node: at once: ok'
if jest in-turn.test.mjs; then echo 'jest: one after the other: ok'; else cat in-turn.test.mjs.txt >&2; exit 1; fi
if jest at-once.test.mjs; then
  echo 'jest: at once: ok (expected: it fails)' >&2
  status=1
else
  seen=$(grep -oE "request for './leaf.mjs' [a-z ]+" at-once.test.mjs.txt | head -n 1) || { cat at-once.test.mjs.txt >&2; exit 1; }
  echo "jest: at once: $seen"
  [[ $seen == "request for './leaf.mjs' is not in cache" ]] || status=1
fi
exit "$status"
