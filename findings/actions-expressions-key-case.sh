#!/usr/bin/env bash
# @actions/expressions 0.3.61 (GitHub's own evaluator of workflow expressions)
#
# Behaviour: fromJSON puts an object into a dictionary that does not tell upper from lower case. Of the keys "AP" and
# "ap" the first one wins and the other is dropped without a word, also for toJSON(fromJSON(x)). Of two equal keys the
# last one wins.
#
# Why it matters: metrics come as JSON in a job's outputs. Detection models report AP and ap, mAP and map, or R and r for
# different things. A condition such as fromJSON(needs.train.outputs.metrics).ap > 0.4 then judges the other metric.
#
# Output seen:
#   fromJSON('{"AP":0.41,"ap":0.39}').ap => 0.41
#   fromJSON('{"ap":0.39,"AP":0.41}').AP => 0.39
#   fromJSON('{"ap":0.39,"ap":0.41}').ap => 0.41
#   toJSON(fromJSON('{"AP":0.41,"ap":0.39}')) => {"AP":0.41}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --save-exact @actions/expressions@0.3.61

cat > evaluate.mjs <<'EOF'
import { data, Evaluator, Lexer, Parser } from '@actions/expressions';

/** The value of an expression, as text; blanks between the parts of JSON are left out. */
function evaluate(expression) {
  const parsed = new Parser(new Lexer(expression).lex().tokens, [], []).parse();
  return new Evaluator(parsed, new data.Dictionary(), new Map()).evaluate().coerceString().replace(/\s/g, '');
}

for (const expression of [
  `fromJSON('{"AP":0.41,"ap":0.39}').ap`,
  `fromJSON('{"ap":0.39,"AP":0.41}').AP`,
  `fromJSON('{"ap":0.39,"ap":0.41}').ap`,
  `toJSON(fromJSON('{"AP":0.41,"ap":0.39}'))`,
]) console.log(`${expression} => ${evaluate(expression)}`);
EOF

seen=$(node evaluate.mjs)
echo "$seen"
expected=$(
  cat << 'EOF'
fromJSON('{"AP":0.41,"ap":0.39}').ap => 0.41
fromJSON('{"ap":0.39,"AP":0.41}').AP => 0.39
fromJSON('{"ap":0.39,"ap":0.41}').ap => 0.41
toJSON(fromJSON('{"AP":0.41,"ap":0.39}')) => {"AP":0.41}
EOF
)
[[ $seen == "$expected" ]] || { echo "expected: $expected" >&2; exit 1; }
