#!/usr/bin/env bash
# npm 11.19.1
#
# Behaviour: `npm sbom --omit dev` leaves out a package of the product as soon as a development dependency needs it too.
# `npm ls --omit dev` lists it, and `npm ci --omit dev` installs it.
#
# Why it matters: the bill of materials of an action or a release is what licences and vulnerabilities are checked
# against. Here it is empty, though two packages are shipped. On an installation without development dependencies, where
# nothing could be mixed up, `npm sbom` refuses with ESBOMPROBLEMS, so there is no easy way to notice.
#
# Output seen:
#   npm ls --omit dev: has-flag supports-color
#   npm ci --omit dev: has-flag supports-color
#   npm sbom --omit dev:
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir tool app
npm install --silent --no-audit --no-fund --prefix tool npm@11.19.1
npm() { command node "$folder/tool/node_modules/npm/bin/npm-cli.js" "$@"; }

cd app
echo '{
  "name": "app", "version": "1.0.0", "private": true,
  "dependencies": { "supports-color": "7.2.0" },
  "devDependencies": { "chalk": "4.1.2" }
}' > package.json
npm install --silent --no-audit --no-fund
listed=$(npm ls --omit dev --all --parseable | sed -n 's|.*/node_modules/||p' | sort | paste -sd ' ')
billed=$(npm sbom --omit dev --sbom-format cyclonedx |
  node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync(0)).components.map((c) => c.name).sort().join(" "))')
npm ci --silent --no-audit --no-fund --omit dev
installed=$(node -e 'process.stdout.write(require("fs").readdirSync("node_modules").filter((n) => !n.startsWith(".")).sort().join(" "))')

echo "npm ls --omit dev: $listed"
echo "npm ci --omit dev: $installed"
echo "npm sbom --omit dev: $billed"
both='has-flag supports-color'
[[ $listed == "$both" && $installed == "$both" && -z $billed ]] || { echo "expected: $both, twice, then nothing" >&2; exit 1; }
