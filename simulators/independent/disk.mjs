// What must survive a power cut: a small state, replaced whole, and the journal, written entry by entry.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
function write(path, flags, text) {
  const file = openSync(path, flags, 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
}
function replace(path, text) {
  write(path + ".new", "w", text);
  renameSync(path + ".new", path);
}
export class Disk {
  constructor(folder) {
    this.assets = join(folder, "assets");
    mkdirSync(this.assets, { recursive: true });
    this._paths = ["state.json", "journal.jsonl", "heard.jsonl"].map((name) => join(folder, name));
    const [state, journal] = this._paths.map((path) => (existsSync(path) ? readFileSync(path, "utf8") : ""));
    const fresh = { epoch: 0, token: null, begun: {}, commands: [], emergencies: {}, acked: 0 };
    this.state = state ? JSON.parse(state) : { ...fresh, log: randomBytes(4).toString("hex") };
    const whole = journal.split("\n").slice(0, -1); // without its line end it was being written when power went
    this.entries = whole.map((line) => JSON.parse(line)).filter((entry) => entry.n > this.state.acked);
    this.next = (this.entries.at(-1)?.n ?? this.state.acked) + 1;
    this.save();
    this._trim();
  }
  save = () => replace(this._paths[0], JSON.stringify(this.state));
  note = (line) => write(this._paths[2], "a", JSON.stringify(line) + "\n");
  _trim = () => replace(this._paths[1], this.entries.map((entry) => JSON.stringify(entry) + "\n").join(""));
  // The entry is on the disk when this returns.
  tell(kind, fields) {
    const entry = { log: this.state.log, n: this.next++, at: new Date().toISOString(), kind, ...fields };
    write(this._paths[1], "a", JSON.stringify(entry) + "\n");
    this.entries.push(entry);
    return entry;
  }
  // Whether the acknowledgement said anything new.
  acknowledge({ log, upto }) {
    if (log !== this.state.log || upto <= this.state.acked || upto >= this.next) return false;
    this.state.acked = upto;
    this.save();
    this.entries = this.entries.filter((entry) => entry.n > upto);
    this._trim();
    return true;
  }
}
