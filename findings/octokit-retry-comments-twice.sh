#!/usr/bin/env bash
# @octokit/core 7.0.6, @octokit/plugin-retry 8.0.3
#
# Behaviour: the plugin repeats a POST that was answered with 502. Where GitHub had done the work and only its answer was
# lost, one call of createComment leaves two comments. The call ends with 201 and nothing tells of the first.
#
# Why it matters: reports of trainings are pull request comments. A gateway that times out after the comment was written
# doubles the report, and a program that keeps the id of "its" comment updates only one of the two. Libraries that repeat
# requests usually leave POST alone.
#
# Output seen:
#   status 201, one call, comments on the server: 2
#   with request.retries 0: status 502, one call, comments on the server: 1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --save-exact @octokit/core@7.0.6 @octokit/plugin-retry@8.0.3

cat > comment.mjs <<'EOF'
import { createServer } from 'node:http';
import { Octokit } from '@octokit/core';
import { retry } from '@octokit/plugin-retry';

const Client = Octokit.plugin(retry);

/** Writes one comment to a server that stores each, and whose first answer is lost behind a gateway. */
async function comment(options) {
  const comments = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => { text += part; });
    request.on('end', () => {
      comments.push(JSON.parse(text).body);
      const isLost = comments.length === 1;
      response.writeHead(isLost ? 502 : 201, { 'content-type': 'application/json' });
      response.end(JSON.stringify(isLost ? { message: 'Server Error' } : { id: comments.length }));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const quiet = () => {};
  const client = new Client({
    baseUrl: `http://127.0.0.1:${server.address().port}`,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const { status } = await client
    .request('POST /repos/{owner}/{repo}/issues/{issue_number}/comments', {
      owner: 'owner', repo: 'repo', issue_number: 1, body: 'accuracy 0.91', ...options,
    })
    .catch((error) => error);
  server.close();
  server.closeAllConnections();
  return `status ${status}, one call, comments on the server: ${comments.length}`;
}

console.log(await comment({}));
console.log(`with request.retries 0: ${await comment({ request: { retries: 0 } })}`);
EOF

seen=$(node comment.mjs)
echo "$seen"
expected='status 201, one call, comments on the server: 2
with request.retries 0: status 502, one call, comments on the server: 1'
[[ $seen == "$expected" ]] || { echo "expected: $expected" >&2; exit 1; }
