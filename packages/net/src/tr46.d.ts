/** UTS 46. The package brings no types; this declares what we call. */
declare module 'tr46' {
  /** The A-label form, or null where the name is invalid. */
  export function toASCII(
    domainName: string,
    options?: { checkHyphens?: boolean; checkBidi?: boolean; checkJoiners?: boolean; useSTD3ASCIIRules?: boolean },
  ): string | null;
}
