// Section 5 of the protocol: whom to obey, in the order of its table.
import { createPublicKey, verify } from "node:crypto";
export class Refused extends Error {
  constructor(reason, alarming = true) {
    Object.assign(super(reason), { reason, alarming });
  }
}
export const loadKeys = (set) => new Map(set.keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: "jwk" })]));
function unpack(text) {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new Refused("malformed");
  return bytes;
}
function object(bytes) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (value?.constructor === Object) return value;
  } catch {} // not JSON
  throw new Refused("malformed");
}
const isTime = (value) => typeof value === "string" && value.endsWith("Z") && !Number.isNaN(Date.parse(value));
const isTrack = (t) => t && ["file", "pause", "stream"].includes(t.kind) && Number.isInteger(t.duration_ms)
  && (t.kind !== "file" || /^[0-9a-f]{64}$/.test(t.sha256)) && (t.kind === "pause" || typeof t.url === "string");
export const isPlaylist = (p) => p && typeof p.id === "string" && isTime(p.start) && isTime(p.end)
  && Number.isInteger(p.rank) && Array.isArray(p.tracks) && p.tracks.every(isTrack);
const SHAPES = {
  "loa-playlists": (m) => Number.isInteger(m.rev) && isTime(m.valid_until) && (m.playlists ?? []).every(isPlaylist),
  "loa-command": (m) => typeof m.id === "string" && typeof m.do === "string" && isTime(m.not_after),
  "loa-emergency": (m) => typeof m.id === "string" && Number.isInteger(m.rev) && typeof m.active === "boolean"
    && isTime(m.not_after) && (m.tracks ?? []).every(isTrack),
};
// The claims and body of a token, null for the very document that is held ({epoch, rev}), or Refused. `now` in ms.
export function judge(token, { typ, keys, audience, epoch, now, synced, held, kept, limit = 256 * 1024 }) {
  const parts = token.toString("latin1").split(".");
  if (token.length > limit || parts.length !== 3) throw new Refused("malformed");
  const header = object(unpack(parts[0]));
  const [payload, signature] = parts.slice(1).map(unpack);
  if (header.alg !== "EdDSA") throw new Refused("algorithm");
  if (!keys.has(header.kid)) throw new Refused("unknown-key");
  if (!verify(null, Buffer.from(`${parts[0]}.${parts[1]}`), keys.get(header.kid), signature)) throw new Refused("bad-signature");
  if (header.typ !== typ) throw new Refused("wrong-type");
  const message = object(payload);
  const claimed = [message.iat, message.exp, message.epoch].every(Number.isInteger);
  if (!claimed || !SHAPES[typ](message)) throw new Refused("malformed");
  if (!audience.includes(message.aud)) throw new Refused("wrong-audience");
  if (message.exp * 1000 <= now && (synced || typ !== "loa-emergency")) throw new Refused("expired", synced);
  const step = held ? message.epoch - held.epoch || message.rev - held.rev : 1;
  if (step === 0) return null;
  if (message.epoch < epoch) throw new Refused("epoch", !kept);
  if (step < 0) throw new Refused("older", false);
  return message;
}
