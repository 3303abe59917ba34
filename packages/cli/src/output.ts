import { Style } from './style.ts';

/** A stream that a command writes to. */
export interface Output {
  readonly isTerminal: boolean;
  /** Columns of the terminal; 100 where there is none. */
  readonly width: number;
  readonly style: Style;
  write(text: string): void;
  line(text?: string): void;
  /** Aborted when the reader has gone away (`| head`): writing on does no harm, but is for nobody. */
  readonly closed: AbortSignal;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** FORCE_COLOR goes before NO_COLOR, as in Node itself; an empty NO_COLOR says nothing. */
const wantsColor = (isTerminal: boolean, environment: Environment): boolean => {
  const { FORCE_COLOR: force, NO_COLOR: no, TERM: term } = environment;
  if (force !== undefined) return force !== '0' && force !== 'false';
  if (no !== undefined && no !== '') return false;
  return isTerminal && term !== 'dumb';
};

interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

export const outputOf = (stream: Stream, environment: Environment): Output => {
  const closed = new AbortController();
  stream.on('error', (error) => {
    // Whatever else may be wrong with the stream, there is nobody left to tell.
    if (!closed.signal.aborted) closed.abort(error);
  });
  const isTerminal = stream.isTTY === true;
  const write = (text: string): void => {
    if (!closed.signal.aborted && text !== '') stream.write(text);
  };
  return {
    isTerminal,
    get width() {
      return isTerminal && stream.columns !== undefined && stream.columns > 0 ? stream.columns : 100;
    },
    style: new Style(wantsColor(isTerminal, environment)),
    write,
    line: (text = '') => write(`${text}\n`),
    closed: closed.signal,
  };
};
