// Sections 6 and 8: what sounds when. It gives no sound, but takes its real time and writes down what it did.
const ON_TIME_MS = 2000, JOIN_FROM_MS = 250;
const words = (message) => JSON.stringify([message?.tracks, message?.repeat]);
const lengthOf = (tracks) => tracks.reduce((sum, track) => sum + track.duration_ms, 0);
const assetsOf = (tracks) => tracks.flatMap((t) => (t.kind === "file" ? [t] : t.fallback ? [t.fallback] : []));
export class Player {
  // `disk`: {state, save, note}; `held()`: hashes on the disk; `tell(kind, fields)` writes the journal
  constructor(disk, held, tell) {
    Object.assign(this, { _disk: disk, _held: held, _tell: tell, _items: new Map(), _over: new Set(), current: null });
    for (const [id, over] of Object.entries(disk.state.begun)) if (!over) this._close({ id }, "failed", "restart");
    for (const state of Object.values(disk.state.emergencies)) this._alarm(state);
  }
  // The whole desired state: what is no longer in it is cancelled; what sounds goes on as it began.
  plan(playlists, until, volumeMax) {
    const wanted = new Set(playlists.map((one) => one.id));
    for (const item of [...this._items.values()].filter((one) => one.planned)) {
      if (!wanted.has(item.id)) this._cancel(item, "cancelled");
      else if (!item.began) this._items.delete(item.id);
    }
    for (const one of playlists) if (!this._items.has(one.id)) this.add({ ...one, until, planned: true }, volumeMax);
  }
  add(one, volumeMax) {
    if (this._disk.state.begun[one.id] !== undefined || this._over.has(one.id)) return;
    const volume = Math.min(one.volume ?? 100, volumeMax), [start, length] = [Date.parse(one.start), lengthOf(one.tracks)];
    this._items.set(one.id, { ...one, start, length, volume, position: 0, played: 0 });
  }
  stop(id) {
    const due = [...this._items.values()].filter((one) => (id ? one.id === id : one.began || one.start <= Date.now()));
    for (const item of due) if (!item.alarm) this._cancel(item, "stopped");
  }
  // A state of a zone.
  alarm(message) {
    const all = this._disk.state.emergencies, { message: last, over } = all[message.id] ?? {};
    if (last && message.rev <= last.rev) return;
    all[message.id] = { message, over: !!over && (!message.active || words(last) === words(message)) };
    this._disk.save();
    this._alarm(all[message.id]);
  }
  needed = () => [...this._items.values()].flatMap((item) =>
    assetsOf(item.tracks).map((asset) => ({ ...asset, at: item.start, playlist: item.alarm ? undefined : item.id })));
  // `now` and `mono` in ms; `synced`: whether `now` can be trusted.
  tick(now, mono, synced) {
    const current = this.current;
    if (current && current.position + mono - current.since >= (current.whole ?? current.length)) this._end(current, mono);
    for (const item of [...this._items.values()]) this._expire(item, now, synced);
    const ready = [...this._items.values()].filter((item) => this._can(item, now, synced));
    const [best] = ready.sort((a, b) => this._compare(a, b));
    if (best && best !== this.current) this._turnTo(best, now, mono);
  }
  playing(mono) {
    if (!this.current) return null;
    const { id, alarm, tracks, length, gap, volume } = this.current;
    let left = (this.current.position + mono - this.current.since) % (alarm ? length + gap : Infinity), track = 0;
    while (track < tracks.length - 1 && left >= tracks[track].duration_ms) left -= tracks[track++].duration_ms;
    return { id: alarm ?? id, track, position_ms: Math.floor(left), volume };
  }
  _alarm({ message, over }) {
    const key = "!" + message.id, item = this._items.get(key), length = lengthOf(message.tracks ?? []);
    if (over) return;
    if (!message.active) return this._endAlarm(item ?? { id: key, alarm: message.id });
    const { times = 1, gap_ms: gap = 0 } = message.repeat ?? {};
    const fresh = { id: key, alarm: message.id, start: 0, rank: Infinity, position: 0, played: 0 };
    const same = words(item) === words(message);
    const now = { tracks: message.tracks, repeat: message.repeat, length, gap, whole: times * (length + gap) - gap,
      ordered: message.iat, rev: message.rev, volume: message.volume ?? 100, until: Date.parse(message.not_after) };
    if (item && !same && item === this.current) this.current = null; // another message begins anew
    this._items.set(key, Object.assign((same && item) || fresh, now));
  }
  _endAlarm(item) {
    const state = this._disk.state.emergencies[item.alarm];
    if (item.began) this._tell("emergency", { id: item.alarm, rev: state.message.rev, result: "ended" });
    state.over = true;
    this._disk.save();
    this._leave(item);
  }
  _has = (item) => assetsOf(item.tracks).every((asset) => this._held().has(asset.sha256));
  _can(item, now, synced) {
    const due = synced && now >= item.start && (item.began || !item.until || now < item.until);
    return this._has(item) && (due || item === this.current || !!item.alarm);
  }
  // Higher rank first; a later emergency before an earlier; of equals what sounds or has begun, then the longest waiting.
  _compare(a, b) {
    if (a.rank !== b.rank) return b.rank > a.rank ? 1 : -1;
    const begun = (b === this.current) - (a === this.current) || !!b.began - !!a.began;
    return a.alarm ? b.ordered - a.ordered : begun || a.start - b.start;
  }
  _expire(item, now, synced) {
    if (item.alarm) return void (synced && now >= item.until && this._endAlarm(item));
    const { do: what = "drop", within_s: within = 0 } = item.if_late ?? {};
    const late = now - item.start, gone = what === "join" && late >= item.length;
    if (item.began || late < 0) return;
    item.waited ||= this.current !== null;
    if (late <= (what === "drop" ? ON_TIME_MS : within * 1000) && !gone) return;
    const reason = !synced ? "clock" : !this._has(item) ? "missing-audio" : item.waited ? "preempted" : "late";
    this._over.add(item.id);
    this._tell("skipped", { playlist: item.id, reason });
    this._leave(item);
  }
  _turnTo(item, now, mono) {
    if (this.current) this._interrupt(this.current, item.alarm ?? item.id, mono);
    if (item.alarm && !item.began) this._tell("emergency", { id: item.alarm, rev: item.rev, result: "started" });
    if (item.alarm) Object.assign(item, { began: true, position: 0 }); // a warning heard from its middle is none
    else if (!item.began) this._begin(item, now);
    else if (!this._resume(item, now)) return;
    item.since = mono;
    this.current = item;
    this._note("sounds", item);
  }
  _begin(item, now) {
    const late = now - item.start;
    this._disk.state.begun[item.id] = false; // before the first sample: at most once, whatever happens
    this._disk.save();
    Object.assign(item, { began: true, position: item.if_late?.do === "join" && late > JOIN_FROM_MS ? late : 0 });
    this._tell("started", { playlist: item.id, late_ms: Math.round(late) });
  }
  _resume(item, now) {
    const where = { join: now - item.start, restart: 0 };
    item.position = where[item.if_interrupted] ?? item.position;
    if (item.position >= item.length) this._close(item, "completed");
    else this._tell("resumed", { playlist: item.id });
    return item.position < item.length;
  }
  _interrupt(item, by, mono) {
    this._hush("interrupted", item, mono);
    if (item.alarm) return;
    this._tell("interrupted", { playlist: item.id, by });
    if (item.if_interrupted === "drop") this._close(item, "failed", "interrupted");
  }
  _hush(what, item, mono) {
    const sounded = mono - item.since;
    Object.assign(item, { position: item.position + sounded, played: item.played + sounded });
    this.current = null;
    this._note(what, item);
  }
  _end(item, mono) {
    this._hush("ends", item, mono);
    if (item.alarm) this._endAlarm(item);
    else this._close(item, "completed");
  }
  _cancel(item, reason) {
    if (this.current === item) this._hush(reason, item, performance.now());
    if (item.began) return this._close(item, "failed", reason);
    if (reason === "stopped") this._over.add(item.id); // what was taken back may be planned again
    this._tell("skipped", { playlist: item.id, reason });
    this._leave(item);
  }
  _close({ id, played, length }, kind, reason) {
    this._tell(kind, { playlist: id, reason, played_ms: length && Math.min(length, Math.round(played)) });
    this._disk.state.begun[id] = true;
    this._disk.save();
    this._leave({ id });
  }
  _leave({ id }) {
    this._items.delete(id);
    if (this.current?.id === id) this.current = null;
  }
  _note = (what, { id, position, volume }) =>
    this._disk.note({ at: new Date().toISOString(), what, id, position_ms: Math.round(position), volume });
}
