import koffi from 'koffi';
import type { NetworkNamespace } from './network-namespace.ts';

/**
 * libnftables, holding one connection into one namespace. A command is one transaction: all of it or nothing.
 * The library keeps the namespace in which its connection was made.
 */
const libnftables = koffi.load('libnftables.so.1');
const contextNew = libnftables.func('void *nft_ctx_new(uint32_t flags)');
const contextFree = libnftables.func('void nft_ctx_free(void *ctx)');
const bufferOutput = libnftables.func('int nft_ctx_buffer_output(void *ctx)');
const bufferError = libnftables.func('int nft_ctx_buffer_error(void *ctx)');
const outputText = libnftables.func('const char *nft_ctx_get_output_buffer(void *ctx)');
const errorText = libnftables.func('const char *nft_ctx_get_error_buffer(void *ctx)');
const outputFlags = libnftables.func('void nft_ctx_output_set_flags(void *ctx, uint32_t flags)');
const runBuffer = libnftables.func('int nft_run_cmd_from_buffer(void *ctx, const char *text)');

const NFT_CTX_OUTPUT_JSON = 1 << 4;

export class NftError extends Error {}

export interface Nftables {
  /** Runs commands as one transaction and returns what they print. Throws {@link NftError} with nft's own words. */
  run(commands: string): string;
  /** The same for commands in the schema of libnftables-json(5): names of others' tables and chains need no quoting there. */
  apply(commands: readonly object[]): void;
  /** Runs a listing command and parses its JSON. */
  list(command: string): unknown;
  close(): void;
}

export const openNftables = (namespace: NetworkNamespace): Nftables => {
  const context = namespace.run(() => contextNew(0));
  if (context === null) throw new NftError('libnftables gives no context');
  bufferOutput(context);
  bufferError(context);
  const run = (commands: string): string =>
    namespace.run(() => {
      if (runBuffer(context, commands) !== 0) throw new NftError(String(errorText(context)).trim());
      return String(outputText(context));
    });
  const runJson = (command: string): string => {
    outputFlags(context, NFT_CTX_OUTPUT_JSON);
    try {
      return run(command);
    } finally {
      outputFlags(context, 0);
    }
  };
  return {
    run,
    apply(commands) {
      if (commands.length > 0) runJson(JSON.stringify({ nftables: commands }));
    },
    list: (command) => JSON.parse(runJson(command)),
    close: () => contextFree(context),
  };
};
