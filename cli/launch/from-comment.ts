import type { CommandedPull } from '../github/command-host.ts';
import {
  type CodeLocation,
  type EventComment,
  failDeletedHead,
  type GithubRun,
  readEventFile,
  readGithubRun,
} from '../github/event.ts';
import { askGithub, type GithubClient } from '../github/remote-code.ts';
import { replyTo, replyWithFailure, takeBackReply, warnOfFailure } from '../github/reply.ts';
import { writeOutputs } from '../github/runner-files.ts';
import { readGithubToken } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode, Failure, failUsage } from '../shell/failure.ts';
import { identifyRepository } from '../shell/git-url.ts';
import type { Session } from '../shell/program.ts';
import { type CommentCommand, parseCommentCommand } from '../text/comment-command.ts';
import { writeLine, writeList } from '../text/markdown.ts';
import { phrase, writePlain } from '../text/phrase.ts';

/** What a comment asks to train. */
export interface TrainOrder {
  readonly code: CodeLocation;
  /** As `--seeds` takes them. */
  readonly seeds: string | undefined;
}

/** What a comment comes to: the step's outputs, which the next steps go by, and what this run launches. */
interface Order {
  readonly outputs: {
    readonly command: 'train' | 'abort' | 'accept' | 'none';
    readonly 'pull-request'?: string;
    readonly commit?: string;
    readonly reason?: string;
  };
  readonly train?: TrainOrder;
}

const NOTHING: Order = { outputs: { command: 'none' } };

/** The commands, and what they do: the answer to an unknown word. */
const COMMANDS = [
  phrase`${'/train'} trains the newest commit of a branch of this repository.`,
  phrase`${'/train COMMIT'} trains that commit, by its full id, and nothing newer. The pull request of a fork needs it.`,
  phrase`${'/train --seeds 5'} trains with these seeds; a commit may be named too.`,
  phrase`${'/abort'} ends the pull request’s unfinished trainings.`,
  phrase`${'/accept REASON'} sets the commit status of the newest commit to success. The pull request’s author may not.`,
];

/**
 * Does what the event's comment asks for: `/train` is launched, the other commands are left to the next steps. A comment
 * that is no command does nothing. Whoever may give commands is told in an answer why one came to nothing.
 *
 * @param launch launches what is to be trained
 * @throws Failure (refused) if the commenter may not give the command, (usage) if it can't be obeyed
 */
export async function obeyComment(
  { dryRun: isDry = false, json = false }: { readonly dryRun?: boolean; readonly json?: boolean },
  session: Session,
  launch: (order: TrainOrder) => Promise<ExitCode>,
): Promise<ExitCode> {
  const github = readGithubRun(session.env, await readEventFile(session.env));
  const desk: Desk = { github, isDry, session, isHeard: false };
  let isWritten = isDry;
  try {
    const order = await takeOrder(desk);
    if (!isWritten) await writeOutputs(session, { ...order.outputs });
    isWritten = true;
    const launched = order.train === undefined ? EXIT_CODES.done : await launch(order.train);
    if (desk.isHeard && !isDry) await takeBackReply(github, session);
    if (order.train !== undefined) return launched;
    if (json) session.voice.result(JSON.stringify({ tasks: [], superseded: [], ...order.outputs }));
    return EXIT_CODES.done;
  } catch (error) {
    if (!isWritten) await writeOutputs(session, { ...NOTHING.outputs });
    if (error instanceof Failure && desk.isHeard && !isDry) await replyWithFailure(error, github, session);
    throw error;
  }
}

/** Where a command is taken. */
interface Desk {
  readonly github: GithubRun;
  /** Nothing is written. */
  readonly isDry: boolean;
  readonly session: Session;
  /** The commenter may give commands, so is told what becomes of this one. */
  isHeard: boolean;
}

async function takeOrder(desk: Desk): Promise<Order> {
  const { github, session } = desk;
  const { comment, repository } = github;
  const command = findCommand(github, session);
  if (comment === undefined || command === undefined) {
    session.voice.say('Nothing to do: the comment is not a command');
    return NOTHING;
  }
  if (repository === undefined || readGithubToken(session.env) === undefined) {
    throw failUsage(
      `${repository === undefined ? 'GITHUB_REPOSITORY' : 'GH_TOKEN (or GITHUB_TOKEN)'} is not set`,
      'GitHub is asked whether the commenter may give a command. In a workflow, pass the job’s own token to this step: GH_TOKEN under `env`.',
    );
  }
  const take = (client: GithubClient) => hearCommand(command, comment, client, desk);
  return (await askGithub(repository, github, session, take)) ?? NOTHING;
}

/**
 * @returns undefined if the event's comment is none of a person's, none on a pull request, or none that was just written
 * @throws Failure (usage) if the event is another one, or PR_NUMBER names another pull request
 */
function findCommand(github: GithubRun, { env }: Session): CommentCommand | undefined {
  const { action, comment, eventName = 'issue_comment', pullRequest } = github;
  if (env.GITHUB_EVENT_PATH === undefined || eventName !== 'issue_comment') {
    throw failUsage(
      '--from-comment needs an event of the kind issue_comment',
      'Use it in a workflow with `on: issue_comment`, as clearml_commands.yml. To launch otherwise, leave it out.',
    );
  }
  if (comment === undefined || comment.isBot || (action ?? 'created') !== 'created') return undefined;
  if (pullRequest !== comment.pullRequest) {
    throw failUsage(
      `PR_NUMBER is ${pullRequest}, but the comment is on pull request ${comment.pullRequest}`,
      'Leave PR_NUMBER out: the event names the pull request.',
    );
  }
  return parseCommentCommand(comment.body);
}

/** Asks GitHub whether the commenter may give commands, then what the command is about. */
async function hearCommand(
  command: CommentCommand,
  comment: EventComment,
  client: GithubClient,
  desk: Desk,
): Promise<Order> {
  const { isDry, session } = desk;
  const react = async (content: 'eyes' | '-1') => {
    if (!isDry)
      await warnOfFailure(client.react(comment.id, content), 'the comment gets no reaction', session);
  };
  if (comment.author === undefined || !(await client.mayWrite(comment.author))) {
    // Silent, so that a stranger can't make us talk.
    if (command.name === 'unknown') return NOTHING;
    await react('-1');
    throw new Failure(
      `${comment.author ?? 'a deleted account'} may not give commands: write access is missing`,
      {
        exitCode: EXIT_CODES.refused,
        remedy:
          'Only somebody who may push to the repository can give a command. Nothing was launched or ended.',
      },
    );
  }
  if (command.name === 'unknown') {
    session.voice.say('Nothing to do: the comment begins with an unknown word');
    if (isDry) return NOTHING;
    const title = phrase`${command.word} is not a command. These are:`;
    const text = `${writeLine(title)}\n\n${writeList(COMMANDS)}`;
    const answer = replyTo(comment, text, client.openBoard(comment.pullRequest), session);
    await warnOfFailure(answer, 'the comment is not answered', session);
    return NOTHING;
  }
  desk.isHeard = true;
  const reacting = react('eyes');
  try {
    return await decideOrder(command, comment, desk.github, () =>
      client.readCommandedPull(comment.pullRequest),
    );
  } finally {
    await reacting;
  }
}

async function decideOrder(
  command: Exclude<CommentCommand, { readonly name: 'unknown' }>,
  comment: EventComment,
  github: GithubRun,
  readPull: () => Promise<CommandedPull>,
): Promise<Order> {
  if (command.name === 'mistaken') {
    const allowed = COMMANDS.map(writePlain).join('\n');
    throw failUsage(`the command is not understood: ${writePlain(command.problem)}`, allowed);
  }
  const number = String(comment.pullRequest);
  if (command.name === 'abort') return { outputs: { command: 'abort', 'pull-request': number } };
  const pull = await readPull();
  if (pull.isClosed)
    throw failUsage(
      `pull request ${number} is closed`,
      'Reopen it, then comment again. /abort works all the same.',
    );
  if (command.name === 'accept') {
    checkAcceptance(pull, comment);
    const { reason } = command;
    return { outputs: { command: 'accept', 'pull-request': number, commit: pull.headCommit, reason } };
  }
  const code = chooseCode(pull, command.commit, github);
  return {
    outputs: { command: 'train', 'pull-request': number, commit: code.commit },
    train: { code, seeds: command.seeds },
  };
}

/** @throws Failure (refused) for the author, (usage) if the commenter may not have seen the newest commit */
function checkAcceptance({ author, pushedAtMs }: CommandedPull, comment: EventComment): void {
  if (author?.toLowerCase() === comment.author?.toLowerCase()) {
    throw new Failure('the author of a pull request may not accept its result', {
      exitCode: EXIT_CODES.refused,
      remedy: 'Somebody else with write access may.',
    });
  }
  // A run may be repeated weeks later, and a fork be deleted after a push: what is unknown may be a push.
  if (pushedAtMs === undefined || Number.isNaN(pushedAtMs) || Number.isNaN(comment.createdAtMs)) {
    throw failUsage(
      'it is unknown whether somebody has pushed since the comment was written',
      'GitHub does not tell when the repository with the branch was last pushed to, most likely because it was deleted. Push the commit to a branch here, and open a pull request from that.',
    );
  }
  if (pushedAtMs >= comment.createdAtMs) {
    throw failUsage(
      'somebody has pushed since the comment was written',
      'GitHub tells when the repository with the branch was last pushed to, not which branch. Read the newest commit, then comment again.',
    );
  }
}

/** @throws Failure (usage) if it is not clear which commit was read, or if that one is not the newest any more */
function chooseCode(
  { head }: CommandedPull,
  named: string | undefined,
  { comment, repository, serverUrl }: GithubRun,
): CodeLocation {
  if (head === undefined) throw failDeletedHead();
  const { commit } = head;
  const number = comment?.pullRequest;
  if (named === undefined) {
    const isOwn = identifyRepository(head.cloneUrl) === identifyRepository(`${serverUrl}/${repository}`);
    if (isOwn) return head;
    throw failUsage(
      `pull request ${number} comes from a fork, so /train needs the id of the commit that you have read`,
      'Read the commit, then comment /train with its full id. What is pushed after that is not trained.',
    );
  }
  if (named === commit.toLowerCase()) return head;
  if (named.length !== commit.length && commit.startsWith(named)) {
    throw failUsage(
      `${named} is not a full commit id`,
      `If you have read that commit, comment /train ${commit}. Anybody can make another commit with the same first digits.`,
    );
  }
  throw failUsage(
    `${named} is not the newest commit of pull request ${number}`,
    `Most likely the branch has moved on. Read the new commits, then comment /train ${commit}.`,
  );
}
