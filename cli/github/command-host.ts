import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import type { CodeLocation } from './event.ts';
import { type Place, readPull } from './pulls.ts';
import { ask, GithubRefusal } from './transport.ts';

/** A pull request that a command in a comment is about. */
export interface CommandedPull {
  /** undefined if the repository with its code was deleted. */
  readonly head: CodeLocation | undefined;
  readonly headCommit: string;
  /** When somebody last pushed to the head's repository, to any branch; ms since 1970, undefined if unknown. */
  readonly pushedAtMs: number | undefined;
  readonly isClosed: boolean;
  /** Login; undefined if the account was deleted. */
  readonly author: string | undefined;
}

/** What a command in a comment asks GitHub for. */
export interface CommandHost {
  /** Whether a user may push to the repository. */
  mayWrite(login: string): Promise<boolean>;
  /** Adds a reaction to a comment, or finds that it has it. */
  react(commentId: number, content: 'eyes' | '-1'): Promise<void>;
  readCommandedPull(number: number): Promise<CommandedPull>;
}

const PermissionSchema = v.object({ permission: v.string() });
const ReactionSchema = v.object({ content: v.string() });

/** Opens the part of a repository that commands need. */
export function openCommandHost(octokit: Octokit, place: Place): CommandHost {
  return {
    async mayWrite(login) {
      const request = octokit.repos.getCollaboratorPermissionLevel({ ...place, username: login });
      try {
        const { permission } = (await ask(request, PermissionSchema, `the permission of ${login}`)).data;
        // GitHub counts the role `maintain`, and roles of one's own, as one of these.
        return permission === 'admin' || permission === 'write';
      } catch (error) {
        // An app is no user.
        if (error instanceof GithubRefusal && error.status === 404) return false;
        throw error;
      }
    },
    async react(commentId, content) {
      const request = octokit.reactions.createForIssueComment({ ...place, comment_id: commentId, content });
      await ask(request, ReactionSchema, `comment ${commentId}`);
    },
    async readCommandedPull(number) {
      const { head, state, user } = await readPull(octokit, place, number);
      const { repo, ref: branch, sha: commit } = head;
      return {
        head: repo ? { cloneUrl: repo.clone_url, branch, commit } : undefined,
        headCommit: commit,
        pushedAtMs: repo?.pushed_at ? Date.parse(repo.pushed_at) : undefined,
        isClosed: state === 'closed',
        author: user?.login,
      };
    },
  };
}
