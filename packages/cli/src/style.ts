/** Colours of a terminal. Colour is never the only sign: what is red also says `deny`. */
export class Style {
  readonly enabled: boolean;

  constructor(enabled: boolean) {
    this.enabled = enabled;
  }

  #paint(on: string, off: string, text: string): string {
    return this.enabled && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  }

  bold = (text: string): string => this.#paint('1', '22', text);
  dim = (text: string): string => this.#paint('2', '22', text);
  red = (text: string): string => this.#paint('31', '39', text);
  green = (text: string): string => this.#paint('32', '39', text);
  yellow = (text: string): string => this.#paint('33', '39', text);
}
