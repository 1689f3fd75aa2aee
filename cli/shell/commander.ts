import { createRequire } from 'node:module';
import type * as commander from 'commander';

// By require: see shell/undici.ts.
const require = createRequire(import.meta.url);

export const { Command, CommanderError, Option } = require('commander') as typeof commander;
export type Command = commander.Command;
