#!/usr/bin/env bash
# jstat 1.9.6, SciPy 1.17.1 for the true values
#
# Behaviour: jStat.noncentralt.cdf is right to seven digits up to a noncentrality of about 25. At 30 it gives 2e-40 where
# 0.48 is right, and from 40 on exactly 0. There is no error and no NaN.
#
# Why it matters: the power of a t test is taken from this distribution, and a large effect with little noise (training
# seeds that agree to three digits, five of each) has a noncentrality of 30 and more. 1 - cdf then gives a power of 1 for
# any threshold, so that a comparison seems able to see what it can't.
#
# Output seen (100 degrees of freedom, at the noncentrality):
#   noncentrality 25: jstat 0.48462, SciPy 0.48462
#   noncentrality 30: jstat 0.00000, SciPy 0.48376
#   noncentrality 40: jstat 0.00000, SciPy 0.48276
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1

echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --save-exact jstat@1.9.6

cat > ours.mjs <<'EOF'
import jstat from 'jstat';

for (const nc of [25, 30, 40]) console.log(jstat.jStat.noncentralt.cdf(nc, 100, nc).toFixed(5));
EOF
cat > theirs.py <<'EOF'
from scipy.stats import nct

for nc in (25, 30, 40):
    print(f"{nct.cdf(nc, 100, nc):.5f}")
EOF
seen=$(paste -d ' ' <(node ours.mjs) <(venv/bin/python theirs.py))
paste -d ' ' <(printf '%s\n' 25 30 40) - <<< "$seen" |
  sed -E 's/^(.*) (.*) (.*)$/noncentrality \1: jstat \2, SciPy \3/'
expected='0.48462 0.48462
0.00000 0.48376
0.00000 0.48276'
[[ $seen == "$expected" ]] || { echo "expected: $expected" >&2; exit 1; }
