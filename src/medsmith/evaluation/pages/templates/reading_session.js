// One reader's answers: kept in the browser after every trial, saved to a file at the end.

/** CRC-32 of a text in UTF-8, as eight hexadecimal digits: detects files changed by mistake. */
function checksum(text) {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

class Session {
  constructor(study, reader, experience) {
    this.study = study;
    this.place = "medsmith-reading:" + study.key_hash + ":" + reader.toLowerCase();
    this.kept = true;
    this.state = this.load() || {
      reader, experience, started: new Date().toISOString(), sessions: 0, learning: [], answers: [],
    };
    this.state.sessions += 1;
    this.keep();
  }

  load() {
    try {
      return JSON.parse(localStorage.getItem(this.place));
    } catch {
      return null;
    }
  }

  keep() {
    try {
      localStorage.setItem(this.place, JSON.stringify(this.state));
    } catch {
      this.kept = false; // private mode or a full store: the reader is told
    }
  }

  get complete() {
    return this.state.answers.length === this.study.trials.length;
  }

  /** Index of the next step; steps are the learning trials, then the others. */
  get next() {
    return this.state.learning.length + this.state.answers.length;
  }

  add(block, answer) {
    this.state[block].push({ trial: this.state[block].length, ...answer });
    this.keep();
  }

  /** Milliseconds that the rest will take at the pace of the last answers; null before there are any. */
  get remaining() {
    const times = this.state.answers.slice(-10).map((answer) => answer.milliseconds).sort((a, b) => a - b);
    if (!times.length) return null;
    return times[times.length >> 1] * (this.study.trials.length - this.state.answers.length);
  }

  result() {
    const record = {
      format: this.study.format,
      version: 1,
      study: this.study.study,
      key_hash: this.study.key_hash,
      mode: this.study.mode,
      reader: { name: this.state.reader, experience: this.state.experience },
      started: this.state.started,
      saved: new Date().toISOString(),
      sessions: this.state.sessions,
      complete: this.complete,
      screen: {
        width: screen.width, height: screen.height, pixel_ratio_percent: Math.round(100 * devicePixelRatio),
      },
      browser: navigator.userAgent,
      answers: this.state.answers,
      learning: this.state.learning,
    };
    return { ...record, checksum: checksum(JSON.stringify(record)) };
  }

  save() {
    const name = this.state.reader.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(this.result(), null, 1) + "\n"]));
    link.download = "reading-" + this.study.study + "-" + name + ".json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    return link.download;
  }
}
