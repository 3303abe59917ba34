/**
 * testkit: what tests build their inputs from: packets, ClientHellos, captures, generators, fakes. Imported by tests only;
 * nothing that is shipped depends on it.
 */
export {
  type ClientHelloOptions,
  clientHelloMessage,
  clientHelloStream,
  cutStream,
  type ExtensionBytes,
  type HelloRecordOptions,
  handshakeRecords,
} from './client-hello.ts';
export { type Conduct, type Life, live, readOf } from './conduct.ts';
export type { Draw } from './draw.ts';
export { drawFrom } from './draw.ts';
export { drawEncounter, drawFacts, type Encounter, type FactsSequence } from './facts-generator.ts';
export {
  agentMac,
  type Ends,
  type EthernetWords,
  echoFrame,
  ethernet,
  extensionHeader,
  fragmentHeader,
  gatewayMac,
  type IcmpWords,
  type IpWords,
  icmpFrame,
  icmpMessage,
  ipFrame,
  ipPacket,
  macBytes,
  protocolNumbers,
  reversed,
  type TcpWords,
  tcpFrame,
  tcpHeaderAndPayload,
  type UdpWords,
  udpFrame,
  udpHeaderAndPayload,
} from './frames.ts';
export { freeze, thaw } from './frozen.ts';
export { addressNear, embeddings, nameNear, pathNear, perhapsEmbedded, portNear } from './near-miss.ts';
export { decodePacket, decodePackets, type Packet } from './packets.ts';
export { type CapturedFrame, readCapture } from './pcap.ts';
export {
  coder,
  contextOf,
  deny,
  type FlowWords,
  hello,
  icmp,
  type PolicyWords,
  permit,
  policyOf,
  type RuleWords,
  request,
  ruleset,
  selector,
  silent,
  smartGroup,
  tcp,
  udp,
  webGroup,
  wednesdayMorning,
  workload,
} from './policy-builder.ts';
export { drawContext, drawPolicy, type Mode, type Setting } from './policy-generator.ts';
export { type ReadFamily, readPrometheus, sampleOf } from './prometheus-text.ts';
export { drawPromotion, type Promoted, promotedTo } from './promotion.ts';
export {
  arbitraryPolicy,
  arbitraryScenario,
  arbitraryScenarios,
  arbitraryTraffic,
  type GeneratorOptions,
  type Scenario,
  type Scenarios,
  type Traffic,
} from './scenario.ts';
export { type TcpStream, tcpStreams } from './tcp-stream.ts';
export { address, domain, name, path, portRange, prefix, url } from './vocabulary.ts';
