import type { AnswerBuilder, Comment, ReactionDocument } from './github-answers.ts';
import type { Handlers } from './github-call.ts';
import { notFound, Refusal } from './github-refusal.ts';
import { isPusher, type TokenBook, type UserRole } from './github-tokens.ts';

/** A reaction to a comment. */
export interface KeptReaction {
  readonly comment: number;
  readonly author: string;
  readonly content: string;
}

/** `permission` has the older roles only (GitHub's description of the endpoint). */
const OLDER_ROLES: Readonly<Record<UserRole, string>> = {
  admin: 'admin',
  maintain: 'write',
  write: 'write',
  triage: 'read',
  read: 'read',
};

/** The operations on a user's permission and on reactions; `reactions` is where they are kept, oldest first. */
export function createCollaboratorHandlers(
  {
    comments,
    reactions,
    isPrivate,
  }: {
    readonly comments: readonly Comment[];
    readonly reactions: KeptReaction[];
    readonly isPrivate: boolean;
  },
  tokens: TokenBook,
  answers: AnswerBuilder,
  time: () => string,
): Handlers {
  return {
    'repos/get-collaborator-permission-level': ({ values, holder }) => {
      // github.com/yegor256/rultor/issues/1407
      if (holder.kind === 'user' && !isPusher(holder.role))
        throw new Refusal(403, 'Must have push access to view collaborator permission.');
      const login = String(values.username);
      // An app is no user.
      if (login.endsWith('[bot]')) throw new Refusal(404, `${login} is not a user`);
      const user = tokens.findUser(login);
      // github.com/aws-ia/cloudformation-github-resource-providers/pull/14
      const ofAll = isPrivate ? 'none' : 'read';
      const [permission, role] =
        user === undefined ? [ofAll, ofAll] : [OLDER_ROLES[user.role], user.role as string];
      return {
        status: 200,
        body: {
          permission,
          role_name: role,
          user: { ...answers.user(user?.login ?? login), role_name: role },
        },
      };
    },
    'reactions/create-for-issue-comment': ({ values, body, holder }) => {
      const comment = comments.find(({ id }) => id === values.comment_id);
      if (comment === undefined) throw notFound();
      const content = String(body.content) as ReactionDocument['content'];
      const isSame = (kept: KeptReaction) =>
        kept.comment === comment.id && kept.author === holder.login && kept.content === content;
      const known = reactions.findIndex(isSame);
      if (known < 0) reactions.push({ comment: comment.id, author: holder.login, content });
      const id = 700_000_000 + (known < 0 ? reactions.length - 1 : known);
      const document: ReactionDocument = {
        id,
        node_id: `REA_${id}`,
        user: answers.user(holder.login),
        content,
        created_at: time(),
      };
      return { status: known < 0 ? 201 : 200, body: document };
    },
  };
}
