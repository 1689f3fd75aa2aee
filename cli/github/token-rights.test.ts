import { expect, test } from '@jest/globals';
import { judgeTokenRights, type RepositoryAccess } from './token-rights.ts';

const NO_ONE = { pull: false, push: false };
const READER = { pull: true, push: false };
const WRITER = { pull: true, push: true };

test.each<[string, Partial<RepositoryAccess>, boolean | undefined, boolean | undefined, string]>([
  ["a job's token", { role: NO_ONE }, undefined, undefined, "what an app's token may do"],
  ['a server that tells no role', { role: undefined }, undefined, undefined, "what an app's token may do"],
  ['a classic token of a writer', { role: WRITER, scopes: ['repo'] }, true, true, 'the scope repo'],
  ['a classic token of an outsider', { role: READER, scopes: ['repo'] }, true, false, 'may not push'],
  [
    'public_repo on a public repository',
    { role: WRITER, scopes: ['public_repo'] },
    true,
    true,
    'public_repo',
  ],
  [
    'public_repo on a private repository',
    { role: WRITER, scopes: ['public_repo'], isPrivate: true },
    false,
    false,
    'lacks the scope repo:status',
  ],
  ['repo:status', { role: WRITER, scopes: ['gist', 'repo:status'] }, false, true, 'repo:status'],
  ['a classic token without scopes', { role: WRITER, scopes: [] }, false, false, 'lacks the scope'],
  ['a fine-grained token', { role: WRITER, scopes: undefined }, undefined, undefined, 'fine-grained'],
  ['a fine-grained token of a reader', { role: READER, scopes: undefined }, undefined, false, 'may not push'],
  ['an archived repository', { role: WRITER, scopes: ['repo'], isArchived: true }, false, false, 'archived'],
])('%s', (_, access, mayComment, mayWriteStatuses, why) => {
  const rights = judgeTokenRights({
    isPrivate: false,
    isArchived: false,
    role: undefined,
    scopes: undefined,
    ...access,
  });
  expect([rights.comment.isGranted, rights.statuses.isGranted]).toEqual([mayComment, mayWriteStatuses]);
  expect(rights.statuses.why).toContain(why);
});
