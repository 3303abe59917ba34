/**
 * wire: bytes to values and back: TLS ClientHellos, DNS messages, HTTP/1.1 heads and bodies, MCP messages. Everything it reads was sent by
 * somebody who may want it misread, so each reader is strict, bounded and total: malformed input is a value with a reason,
 * never an exception, and where bytes are cut into pieces makes no difference.
 * It opens no sockets, and knows nothing of policy: what a name or a request means is decided elsewhere.
 */
export {
  type ClientHello,
  extensionType,
  type HelloExtension,
  type HelloFault,
  type HelloName,
  type ParsedHello,
  parseClientHello,
} from './client-hello.ts';
export {
  answersQuery,
  answerToUnreadable,
  dnsAnswer,
  dnsQuery,
  type ExtendedError,
  extendedErrorCode,
  extendedErrorOptionOf,
  extendedErrorsOf,
} from './dns-answer.ts';
export { type EncodedDns, encodeDns } from './dns-encode.ts';
export {
  type DnsMessage,
  type DnsQuery,
  type DnsQuestion,
  type DnsRecord,
  type Edns,
  type EdnsOption,
  opcode,
  type RecordData,
  recordClass,
  recordType,
  responseCode,
} from './dns-message.ts';
export { type DnsName, dnsName, rootName, sameName } from './dns-name.ts';
export { parseDnsMessage, parseDnsQuery, parseDnsResponse } from './dns-parse.ts';
export { createDnsStreamReader, type DnsStreamReader, dnsFrame } from './dns-stream.ts';
export { type ServiceBinding, type ServiceParameter, serviceKey, withoutEchAndHints } from './dns-svcb.ts';
export {
  createHelloReader,
  type HelloReader,
  type HelloState,
  maximumHelloBytes,
  type ReadHello,
} from './hello-reader.ts';
export {
  type BodyFault,
  type BodyProgress,
  type BodyScanner,
  type BodyState,
  chunkLimits,
  createBodyScanner,
} from './http-body.ts';
export {
  type BodyFraming,
  type FieldFault,
  type FramingFault,
  fieldTokens,
  fieldValues,
  type HttpField,
  maximumFields,
} from './http-field.ts';
export { type HeadFault, headLimits } from './http-head.ts';
export type { LineFault } from './http-line.ts';
export {
  createRequestHeadReader,
  type RequestFault,
  type RequestHead,
  type RequestHeadReader,
  type RequestHeadState,
} from './http-request.ts';
export {
  createResponseHeadReader,
  type ResponseFault,
  type ResponseFraming,
  type ResponseHead,
  type ResponseHeadReader,
  type ResponseHeadState,
} from './http-response.ts';
export type { RequestTarget } from './http-target.ts';
export { hasMistakable, isMembers, type JsonFault, type JsonText, jsonLimits, type Members, readJson } from './json.ts';
export { longestLaxLine, mayBeRequest } from './lax-request.ts';
export { envelope, type McpBody, type McpFault, type McpMessage, mcpLimits, readMcpBody } from './mcp-message.ts';
export { looksLikeHttp, recognisedMethods } from './plain-http.ts';
