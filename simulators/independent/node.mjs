// A node of Loa: `node simulators/independent/node.mjs ENROLMENT.json FOLDER`. SIGTERM says goodbye and ends it.
// Written from docs/protocol.md and docs/enrolment.md alone; numbers are that page's sections.
import { randomBytes } from "node:crypto";
import { readFileSync, statfsSync, statSync } from "node:fs";
import mqtt from "mqtt";
import { Disk } from "./disk.mjs";
import { hashOf, Media } from "./media.mjs";
import { Player } from "./player.mjs";
import { isPlaylist, judge, loadKeys, Refused } from "./trust.mjs";

const [path, folder] = process.argv.slice(2);
if (!folder) throw new Error("usage: node node.mjs ENROLMENT.json FOLDER");
const { node: me, root, ...enrolment } = JSON.parse(readFileSync(path, "utf8"));
const keys = loadKeys(enrolment.keys), boot = randomBytes(4).toString("hex");
let client = null, up = false, conn = 0, seq = 0, stopping = false, alarmed = Date.now();
let settings = {}, held = { epoch: 0, rev: 0 }, playlists = [];
let nextBeat = 0, retryAt = 0, pause = 1000 + Math.random() * 4000, resendAt = Infinity, resendMs = 20_000, resentAt = 0;
const own = (tail) => `${root}/up/${me}/${tail}`;
const zones = () => [...new Set(["all", ...(settings.zones ?? [])])];
const emergencyOf = (zone) => `${root}/zones/${zone}/emergency`;
// A board without a battery starts in 1970: a clock that lies before its own enrolment is not the time.
const synced = () => Date.now() >= statSync(path).mtimeMs - 86_400_000;
const disk = new Disk(folder), state = disk.state;
const media = new Media(disk.assets, enrolment.media.base, enrolment.mqtt, (sha256) => {
  const first = player.needed().sort((a, b) => a.at - b.at).find((one) => one.sha256 === sha256);
  tell("prefetched", { playlist: first?.playlist, sha256 });
});
const player = new Player(disk, () => media.held, tell);

// --- 4: what it tells
function publish(topic, payload, options) {
  const body = typeof payload === "string" ? payload : JSON.stringify(payload);
  if (up) client.publish(topic, body, options, (error) => error && console.log("publish", topic, error.message));
}
function tell(kind, fields) { send(disk.tell(kind, fields)); }
function send(...entries) {
  for (const entry of entries) publish(own("journal"), entry, { qos: 1 });
  if (entries.length) resendAt = Math.min(resendAt, performance.now() + resendMs);
}
function resend() {
  [resendMs, resendAt, resentAt] = [Math.min(60_000, resendMs * 2), Infinity, performance.now()];
  send(...disk.entries);
}
function status(online, reason) {
  const at = new Date().toISOString();
  const playlists = { ...held, missing: media.missing() };
  return { online, boot, conn, at, reason, model: "independent", firmware: "1", playlists };
}
const birth = () => publish(own("status"), status(true, "birth"), { qos: 1, retain: true });
function beat() {
  const { boot, conn, at, playlists } = status(true, "birth"), { bavail, blocks } = statfsSync(folder);
  const mono = performance.now(), uptime_s = Math.floor(process.uptime()), clock = { synced: synced() };
  const metrics = { disk_free_pct: Math.round((100 * bavail) / blocks), journal_backlog: disk.entries.length };
  const playing = player.playing(mono);
  publish(own("heartbeat"), { boot, conn, seq: ++seq, at, uptime_s, clock, playlists, playing, metrics }, { qos: 0 });
  nextBeat = mono + (settings.heartbeat_s ?? 10) * (900 + Math.random() * 200);
}
// --- 5 to 8: what it obeys
const judged = (token, typ, audience, more) =>
  judge(token, { typ, keys, audience, epoch: state.epoch, now: Date.now(), synced: synced(), ...more });
function refuse(kind, { reason, alarming }) {
  const [at, evidence] = [new Date().toISOString(), { reason }];
  console.log("refused", kind, reason);
  tell(kind, { result: "rejected", reason });
  const report = { code: "security", component: "identity", at, severity: "critical", evidence };
  if (alarming) publish(own("fault/security"), report, { qos: 1, retain: true });
  if (alarming) alarmed = Date.now();
}
const seen = (epoch) => { state.epoch = Math.max(state.epoch, epoch); disk.save(); };
async function onPlaylists(token, kept) {
  let document = judged(token, "loa-playlists", [me], { held, kept });
  if (document?.ref) {
    const answer = await media.get(document.ref.url).catch(() => ({ ok: false }));
    if (!answer.ok) throw new Refused("unreachable", false);
    token = Buffer.from(await answer.arrayBuffer());
    if (hashOf(token) !== document.ref.sha256) throw new Refused("hash");
    document = judged(token, "loa-playlists", [me], { held, limit: 8 * 1024 * 1024 });
    if (document?.ref) throw new Refused("malformed");
  }
  if (!document) return;
  const known = new Set(playlists.map((one) => one.id)), told = new Map();
  hold(document);
  state.token = token.toString("latin1");
  seen(document.epoch);
  tell("playlists", { result: "accepted", epoch: document.epoch, rev: document.rev });
  for (const { sha256, playlist } of player.needed())
    if (media.held.has(sha256) && !known.has(playlist) && !told.has(sha256)) told.set(sha256, playlist);
  for (const [sha256, playlist] of told) tell("prefetched", { playlist, sha256 });
}
function hold(document) {
  const before = zones();
  held = { epoch: document.epoch, rev: document.rev };
  ({ settings = {}, playlists = [] } = document);
  player.plan(playlists, Math.min(Date.parse(document.valid_until), document.exp * 1000), settings.volume_max ?? 100);
  const only = (a, b) => a.filter((zone) => !b.includes(zone)).map(emergencyOf);
  const [gone, come] = [only(before, zones()), only(zones(), before)];
  if (up && gone.length) client.unsubscribe(gone);
  if (up && come.length) client.subscribe(come, { qos: 1 });
  want();
}
function want() {
  const sounds = (settings.emergency_sounds ?? []).map((sound) => ({ ...sound, at: 0 }));
  const latestFirst = [...sounds, ...player.needed()].sort((a, b) => b.at - a.at);
  media.want([...new Map(latestFirst.map((one) => [one.sha256, one])).values()]);
}
function onEmergency(token, zone, kept) {
  const message = judged(token, "loa-emergency", [`zone:${zone}`], { kept });
  seen(message.epoch);
  player.alarm(message);
  want();
}
function onCommand(token) {
  const { id, do: what, args = {}, not_after, epoch } = judged(token, "loa-command", [me]);
  if (state.commands.includes(id)) return;
  state.commands = [...state.commands.slice(-999), id];
  seen(epoch);
  const reason = synced() && Date.now() > Date.parse(not_after) ? "expired" : execute(what, args, id);
  tell("command", reason ? { id, result: "rejected", reason } : { id, result: "done" });
}
function execute(what, args, id) {
  const level = args.volume >= 0 && args.volume <= 100 && player.current;
  if (what === "stop") player.stop(args.playlist);
  else if (what === "ping") beat();
  else if (what === "rebirth") birth();
  else if (what === "log") send(...disk.entries);
  else if (what === "selftest") tell("selftest", { id, result: "passed", results: {} }); // it has no parts
  else if (what === "volume" && level) player.current.volume = args.volume;
  else if (what === "play" && isPlaylist(args.playlist)) {
    player.add(args.playlist, settings.volume_max ?? 100);
    want();
  } else return `cannot ${what} so`;
  return "";
}
function onAck(ack) {
  if (disk.acknowledge(ack)) resendMs = 20_000;
  else if (disk.entries.length && performance.now() - resentAt > 5000) resend(); // it has come back
  if (!disk.entries.length) resendAt = Infinity;
}
async function onMessage(topic, payload, { retain: kept }) {
  if (!payload.length) return; // the broker is to keep nothing there any more
  const [where, name, what] = topic.slice(root.length + 1).split("/");
  try {
    if (what === "playlists") await onPlaylists(payload, kept);
    else if (what === "command") onCommand(payload);
    else if (what === "journal-ack") onAck(JSON.parse(payload));
    else if (where === "zones" && zones().includes(name)) onEmergency(payload, name, kept);
  } catch (error) {
    if (!(error instanceof Refused)) console.log("cannot take", topic, error.message);
    else if (where !== "zones" || error.reason !== "expired") refuse(what, error); // a state that is past is no attack
  }
}
// --- 3: the connection
function connect() {
  const { tls, ca, ...access } = enrolment.mqtt;
  conn += 1;
  const mine = client = mqtt.connect({
    ...access, protocol: tls ? "mqtts" : "mqtt", ca: ca ?? undefined, clientId: me, protocolVersion: 5, clean: true,
    keepalive: 20, reconnectPeriod: 0, connectTimeout: 15_000, properties: { sessionExpiryInterval: 0 },
    will: { topic: own("status"), payload: JSON.stringify(status(false, "will")), qos: 1, retain: true },
  });
  mine.on("message", onMessage).on("error", (error) => console.log("connection", error.message)).on("close", () => {
    if (mine !== client) return;
    [client, up, retryAt] = [null, false, performance.now() + pause];
    pause = Math.min(30_000, pause * (1.5 + Math.random()));
  });
  mine.on("connect", () => mine.subscribe([`${root}/dn/${me}/#`, ...zones().map(emergencyOf)], { qos: 1 }, (error) => {
    if (error) return mine.end(true);
    [up, pause, nextBeat] = [true, 1000 + Math.random() * 4000, 0];
    birth();
    send(...disk.entries);
  }));
}
function tick(mono = performance.now()) {
  if (!client && !stopping && mono >= retryAt) connect();
  player.tick(Date.now(), mono, synced());
  media.tick(Date.now());
  if (up && mono >= resendAt) resend();
  if (up && mono >= nextBeat) beat();
  if (!up || Date.now() - alarmed < 600_000) return;
  publish(own("fault/security"), "", { qos: 1, retain: true });
  alarmed = Infinity;
}
function goodbye() {
  stopping = true;
  if (!up) process.exit();
  const bye = JSON.stringify(status(false, "bye"));
  client.publish(own("status"), bye, { qos: 1, retain: true }, () => client.end(false, () => process.exit(0)));
}
const stored = { typ: "loa-playlists", keys, audience: [me], epoch: 0, now: 0, limit: 8e6 };
if (state.token) hold(judge(Buffer.from(state.token, "latin1"), stored)); // judged by its own dates from here
process.on("SIGTERM", goodbye).on("SIGINT", goodbye);
setInterval(() => tick(), 20);
