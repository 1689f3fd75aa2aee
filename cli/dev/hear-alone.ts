import { type ChannelListener, subscribe, unsubscribe } from 'node:diagnostics_channel';

// Jest gives every test file of a process the same module.
const shared = process.getBuiltinModule('node:diagnostics_channel') as {
  heardAlone?: Map<string, ChannelListener>;
};

/**
 * Hears a channel of Node's, in place of the test file before in this process: otherwise each file would stay in memory,
 * and hear what those after it do.
 */
export function hearAlone(channel: string, listener: ChannelListener): void {
  shared.heardAlone ??= new Map();
  const before = shared.heardAlone.get(channel);
  if (before !== undefined) unsubscribe(channel, before);
  shared.heardAlone.set(channel, listener);
  subscribe(channel, listener);
}
