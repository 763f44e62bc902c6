// Section 9: audio, fetched ahead, resumed, and kept only if its hash is right.
import { createHash } from "node:crypto";
import { createWriteStream, existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
export const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex");
const SOON_MS = 60_000;
export class Media {
  constructor(folder, base, { username, password }, arrived) {
    Object.assign(this, { _folder: folder, _base: base, _arrived: arrived, _wanted: [], _busy: null, _retryAt: 0 });
    this._auth = "Basic " + Buffer.from(`${username}:${password}`).toString("base64");
    this.held = new Set(readdirSync(folder).filter((name) => /^[0-9a-f]{64}$/.test(name)));
  }
  missing = () => this._wanted.filter((one) => !this.held.has(one.sha256)).length;
  // `assets`: {sha256, url, at}, `at` the instant in ms when it is needed; what is not among them goes.
  want(assets) {
    const from = new Map(this._wanted.map((one) => [one.sha256, one.from]));
    const spread = Date.now() + Math.random() * SOON_MS;
    this._wanted = assets.map((one) => ({ ...one, from: from.get(one.sha256) ?? spread })).sort((a, b) => a.at - b.at);
    const gone = [...this.held].filter((sha256) => !assets.some((one) => one.sha256 === sha256));
    for (const sha256 of gone) this.held.delete(sha256) && rmSync(join(this._folder, sha256), { force: true });
  }
  tick(now) {
    if (this._busy || this._retryAt > now) return;
    const next = this._wanted.find((one) => !this.held.has(one.sha256) && (one.from <= now || one.at - now < SOON_MS));
    const later = () => (this._retryAt = now + 2000 + Math.random() * 3000);
    if (next) this._busy = this._fetch(next).catch(later).finally(() => (this._busy = null));
  }
  // Only its own media server is shown the password.
  async get(url, more) {
    const target = new URL(url, this._base), ours = target.origin === new URL(this._base).origin;
    const headers = { ...(ours && { Authorization: this._auth }), ...more };
    return fetch(target, { headers, signal: AbortSignal.timeout(60_000) });
  }
  async _fetch({ sha256, url }) {
    const part = join(this._folder, sha256 + ".part");
    const have = existsSync(part) ? statSync(part).size : 0;
    const answer = await this.get(url, have ? { Range: `bytes=${have}-` } : {});
    if (!answer.ok && answer.status !== 416) throw new Error(`${url} answers ${answer.status}`);
    const file = () => createWriteStream(part, { flags: answer.status === 206 ? "a" : "w" });
    if (answer.ok) await pipeline(Readable.fromWeb(answer.body), file());
    if (hashOf(readFileSync(part)) !== sha256) return rmSync(part), Promise.reject(new Error(`${url} has another hash`));
    renameSync(part, join(this._folder, sha256));
    this.held.add(sha256);
    this._arrived(sha256);
  }
}
