import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { ask } from './transport.ts';

/** A repository, by its parts. */
export interface Place {
  readonly owner: string;
  readonly repo: string;
}

const PullSchema = v.object({
  state: v.optional(v.string()),
  user: v.nullish(v.object({ login: v.string() })),
  head: v.object({
    sha: v.string(),
    ref: v.string(),
    repo: v.nullish(
      v.object({
        clone_url: v.string(),
        full_name: v.optional(v.string()),
        pushed_at: v.nullish(v.string()),
      }),
    ),
  }),
  base: v.object({ ref: v.string(), sha: v.optional(v.string()) }),
});

/** A pull request as GitHub has it now. */
export async function readPull(octokit: Octokit, place: Place, number: number) {
  const request = octokit.pulls.get({ ...place, pull_number: number });
  return (await ask(request, PullSchema, `pull request ${number}`)).data;
}
