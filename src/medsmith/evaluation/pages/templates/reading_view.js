// What the reader sees and presses.

const study = JSON.parse(document.getElementById("study").textContent);
const element = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (node) => [node.id, node]));
const pairs = study.mode === "pairs";
const steps = [...study.learning, ...study.trials.map((images) => ({ images, answer: null }))];
const SCALE = pairs
  ? ["Left, definitely", "Left, probably", "Right, probably", "Right, definitely"]
  : ["Definitely real", "Probably real", "Cannot tell", "Probably synthetic", "Definitely synthetic"];
const MIDDLE = pairs ? null : 3;
let session = null;
let screenName = "welcome";
let canvases = [];
let trial = null; // of the screens "trial" and "feedback"
let windowIndex = 0;
let loaded = new Map();

function make(tag, text, properties) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

function say(text) {
  element.live.textContent = text;
}

function show(name) {
  screenName = name;
  const reading = name === "trial" || name === "feedback";
  for (const id of ["top", "images", "answering"]) element[id].hidden = !reading;
  element.panel.hidden = reading;
}

function panel(...nodes) {
  element.panel.replaceChildren(...nodes);
}

function welcome() {
  show("welcome");
  const form = make("form", "");
  const name = make("input", "", { id: "name", required: true, maxLength: 60, autocomplete: "off" });
  const experience = make("input", "", { id: "experience", maxLength: 120, autocomplete: "off" });
  form.append(
    make("h1", pairs ? "Which image is synthetic?" : "Real or synthetic?"),
    make("p", pairs
      ? "Of each pair one image is of a patient and one is synthetic. Choose the synthetic one."
      : "Some of these images are synthetic. For each, say how sure you are that it is real or synthetic."),
    make("p", study.trials.length + (pairs ? " pairs" : " images")
      + (study.learning.length ? ", after " + study.learning.length + " to learn from, with feedback" : "")
      + ". Keyboard only: " + SCALE.length + " answers on the number keys, space for the next. Press ? for help.",
      { className: "quiet" }),
    make("label", "Your name or code", { htmlFor: "name" }), name,
    make("label", "Specialty and years of experience", { htmlFor: "experience" }), experience,
    make("button", "Start", { className: "primary" }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const reader = name.value.trim().replace(/\s+/g, " ");
    if (!reader) return;
    session = new Session(study, reader, experience.value.trim());
    step();
  });
  panel(form);
  name.focus();
}

/** The next trial, the screen between learning and study, or the end. */
function step() {
  if (session.complete) return done();
  if (study.learning.length && session.next === study.learning.length && screenName === "feedback") return studyBegins();
  return present(session.next);
}

function studyBegins() {
  show("begins");
  const button = make("button", "Begin (space)", { className: "primary" });
  button.addEventListener("click", () => present(session.next));
  panel(make("h1", "Now the study"), make("p", "From here on nothing tells you whether you are right."), button);
  button.focus();
}

async function levels(number) {
  if (!loaded.has(number)) loaded.set(number, unpack(study.images[number], study.shape));
  return loaded.get(number);
}

async function present(index) {
  const current = { index, ...steps[index], stacks: [], rating: null, call: null, slice: study.shape[0] >> 1,
    windows: {}, visible: 0, since: null, windowSince: null };
  trial = current;
  screenName = "loading"; // no key counts for an image that is not shown yet
  current.stacks = await Promise.all(current.images.map(levels));
  if (trial !== current) return;
  show("trial");
  resume();
  render();
  label();
  if (document.activeElement) document.activeElement.blur();
  say(element.count.textContent);
  const coming = steps[index + 1] ? steps[index + 1].images : [];
  for (const number of loaded.keys()) if (![...current.images, ...coming].includes(number)) loaded.delete(number);
  coming.forEach(levels);
}

function render() {
  const window = study.windows[windowIndex];
  canvases.forEach((canvas, i) => draw(canvas, trial.stacks[i], trial.slice, study.shape, window));
  const facts = study.windows.length > 1 ? [window.name + "  " + window.label] : [];
  if (study.shape[0] > 1) facts.push("slice " + (trial.slice + 1) + " of " + study.shape[0]);
  element.view.textContent = facts.join("    ");
}

function label() {
  const learning = trial.index < study.learning.length;
  const number = learning ? trial.index : session.state.answers.length;
  const total = learning ? study.learning.length : study.trials.length;
  element.count.textContent = (learning ? "Learning " : pairs ? "Pair " : "Image ") + (number + 1) + " of " + total;
  element.progress.max = total;
  element.progress.value = number;
  const remaining = session.remaining;
  element.left.textContent = learning || remaining === null ? "" : "about " + Math.max(1, Math.round(remaining / 60000)) + " min left";
  Array.from(element.scale.children).forEach((button, i) => button.setAttribute("aria-pressed", trial.rating === i + 1));
  element.lean.hidden = trial.rating !== MIDDLE || pairs;
  for (const button of element.lean.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", trial.call === button.value);
  }
  hint(trial.call ? "space: next" : trial.rating ? "" : keysLine());
}

function keysLine() {
  const slices = study.shape[0] > 1 ? "   \u2191 \u2193: scroll" : "";
  const windows = study.windows.length > 1 ? "   w: window" : "";
  return (session.kept ? "" : "This browser keeps no progress: read all in one go.   ")
    + "1\u2013" + SCALE.length + ": answer" + windows + slices;
}

function hint(text, state = "") {
  element.hint.textContent = text;
  element.hint.className = state;
}

function rate(rating) {
  if (screenName !== "trial") return;
  trial.rating = rating;
  trial.call = pairs ? (rating < 3 ? "left" : "right") : rating < 3 ? "real" : rating > 3 ? "synthetic" : null;
  label();
  say(SCALE[rating - 1]);
}

function lean(call) {
  if (screenName !== "trial" || pairs || trial.rating !== MIDDLE) return;
  trial.call = call;
  label();
  say(call);
}

function move(by) {
  const from = trial.rating || (SCALE.length + 1) / 2;
  const to = by > 0 ? Math.floor(from + 1) : Math.ceil(from - 1);
  rate(Math.min(SCALE.length, Math.max(1, to)));
}

function confirm() {
  if (screenName === "feedback") return step();
  if (screenName !== "trial") return undefined;
  if (!trial.call) {
    say("Answer first");
    return hint(trial.rating ? "press r or s" : "Answer first: 1\u2013" + SCALE.length, "bad");
  }
  pause();
  const { rating, call } = trial;
  const learning = trial.answer !== null;
  const windows = Object.fromEntries(Object.entries(trial.windows).map(([name, time]) => [name, Math.round(time)]));
  session.add(learning ? "learning" : "answers", { rating, call, milliseconds: Math.round(trial.visible), windows });
  return learning ? feedback() : step();
}

function feedback() {
  show("feedback");
  element.lean.hidden = true;
  const right = trial.call === trial.answer;
  const fact = pairs ? "The " + trial.answer + " image is synthetic." : "This image is " + trial.answer + ".";
  hint((right ? "Right. " : "Wrong. ") + fact + "   space: next", right ? "good" : "bad");
  say(element.hint.textContent);
}

function done() {
  show("done");
  const button = make("button", "Save the result file", { className: "primary", id: "save" });
  const told = make("p", "", { className: "quiet" });
  button.addEventListener("click", () => (told.textContent = "Saved as " + session.save() + " in your downloads."));
  panel(
    make("h1", "All read. Thank you."),
    make("p", "Save the result and send the file to whoever gave you this page. It holds your name, answers, times, windows and screen size."),
    button, told,
  );
  button.focus();
}

/** Time counts only while the page can be seen. */
function resume() {
  trial.since = trial.windowSince = performance.now();
}

function pause() {
  if (!trial || trial.since === null) return;
  countWindow();
  trial.visible += performance.now() - trial.since;
  trial.since = trial.windowSince = null;
}

function countWindow() {
  const name = study.windows[windowIndex].name;
  trial.windows[name] = (trial.windows[name] || 0) + performance.now() - trial.windowSince;
  trial.windowSince = performance.now();
}

function switchWindow(by) {
  if (study.windows.length < 2) return;
  if (screenName === "trial") countWindow();
  windowIndex = (windowIndex + by + study.windows.length) % study.windows.length;
  render();
  say(study.windows[windowIndex].name);
}

function scroll(by) {
  trial.slice = Math.min(study.shape[0] - 1, Math.max(0, trial.slice + by));
  render();
}

function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  if (event.key === "?") {
    if (!element.help.open) element.help.showModal();
    return;
  }
  if (element.help.open || !["trial", "feedback"].includes(screenName)) return;
  const press = {
    ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => scroll(1), ArrowDown: () => scroll(-1),
    w: () => switchWindow(1), W: () => switchWindow(-1), r: () => lean("real"), s: () => lean("synthetic"),
    " ": confirm, Enter: confirm,
  }[event.key] || (Number(event.key) >= 1 && Number(event.key) <= SCALE.length ? () => rate(Number(event.key)) : null);
  const pressed = document.activeElement;
  const choosing = pressed.tagName === "BUTTON" && pressed.getAttribute("aria-pressed") === "false";
  if (!press || (press === confirm && (choosing || event.repeat))) return; // the button takes the key itself
  event.preventDefault();
  press();
}

function build() {
  canvases = (pairs ? ["Left image", "Right image"] : ["Image"]).map((name) => {
    const figure = make("figure", "");
    const canvas = make("canvas", "", { width: study.shape[2], height: study.shape[1] });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    figure.append(canvas);
    element.images.append(figure);
    return canvas;
  });
  element.scale.setAttribute("aria-label", pairs ? "Which image is synthetic?" : "Real or synthetic?");
  SCALE.forEach((text, i) => {
    const button = make("button", "", { type: "button" });
    button.append(make("kbd", String(i + 1)), " " + text);
    button.addEventListener("click", () => rate(i + 1));
    element.scale.append(button);
  });
  element.lean.append("If you had to decide:");
  for (const call of ["real", "synthetic"]) {
    const button = make("button", "", { type: "button", value: call });
    button.append(make("kbd", call[0]), " " + call);
    button.addEventListener("click", () => lean(call));
    element.lean.append(button);
  }
  const keys = [["1\u2013" + SCALE.length, SCALE.join(" / ")], ["\u2190 \u2192", "move the answer"], ["space, enter", "confirm, next"]];
  if (!pairs) keys.push(["r, s", "after \u201cCannot tell\u201d: your call if you had to decide"]);
  if (study.windows.length > 1) keys.push(["w", "next window: " + study.windows.map((window) => window.name).join(", ")]);
  if (study.shape[0] > 1) keys.push(["\u2191 \u2193", "scroll towards the head or the feet"]);
  for (const [key, meaning] of [...keys, ["?", "this help"]]) {
    const term = make("dt", "");
    term.append(make("kbd", key));
    element.keys.append(term, make("dd", meaning));
  }
}

if (typeof DecompressionStream === "undefined") {
  panel(make("h1", "This browser is too old"), make("p", "Open the page in a browser of 2023 or later."));
  throw new Error("no DecompressionStream");
}
build();
document.addEventListener("keydown", keyed);
document.addEventListener("wheel", (event) => {
  if (screenName === "trial" && study.shape[0] > 1) scroll(event.deltaY < 0 ? 1 : -1);
});
document.addEventListener("visibilitychange", () => {
  if (screenName !== "trial") return;
  if (document.hidden) pause();
  else resume();
});
element.close.addEventListener("click", () => element.help.close());
element["save-now"].addEventListener("click", () => session && session.save());
welcome();
