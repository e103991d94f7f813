// The viewer of a cohort. Each case is a script in cases/ that is loaded when the case is chosen, and calls
// medsmithView.receive: pages that were opened from a disk may load scripts, but may not read files.
"use strict";

const index = JSON.parse(document.getElementById("index").textContent);
const element = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (node) => [node.id, node]));
const INTENT_LABEL = 1002; // NIfTI's code of label maps; NiiVue outlines these alone
const PLANES = ["volume", "axial", "coronal", "sagittal"];
let received = null; // what the script that was loaded last has handed over
let viewer = null; // NiiVue; null where the browser has no WebGL 2
let asked = ""; // id of the case that was chosen last
let shown = null; // the case that was loaded last
let preferred = ""; // name of the window that was chosen last, kept from case to case
let request = 0; // number of the latest choice; what an earlier one has loaded is dropped
let scan = { id: null, channels: null }; // the scan before the edit that was loaded last; cases of one scan share it

window.medsmithView = {
  receive(content, volumes) {
    received = { content, volumes };
  },
};

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function rounded(value) {
  return Number(value.toPrecision(4));
}

// Loading

function load(folder, id) {
  return new Promise((resolve, reject) => {
    const script = make("script", { src: `${folder}/${encodeURIComponent(id)}.js` });
    const done = () => {
      script.remove();
      if (received) resolve(received);
      else reject(new Error(`${folder}/${id}.js is missing or damaged; run medsmith view again`));
      received = null;
    };
    script.onload = script.onerror = done;
    document.head.append(script);
  });
}

function bytesOf(strings) {
  const parts = strings.map(atob);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) for (let i = 0; i < part.length; i++) bytes[place++] = part.charCodeAt(i);
  return bytes.buffer;
}

function volume(strings, name, options) {
  return niivue.NVImage.loadFromUrl({ url: bytesOf(strings), name: `${name}.nii.gz`, ...options });
}

async function choose(id) {
  const mine = ++request;
  asked = id;
  element.message.hidden = false;
  element.message.textContent = `Loading ${id}`;
  try {
    const { content, volumes } = await load("cases", id);
    if (mine !== request) return;
    const images = viewer ? await imagesOf(content, volumes) : null;
    if (mine !== request) return;
    shown = { ...content, images, scans: null, before: false, template: content.before, channel: 0, hidden: new Set() };
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    showWords();
    if (viewer) showImages();
    element.message.hidden = viewer !== null;
    if (!viewer) element.message.textContent = "This browser cannot draw images: WebGL 2 is off.";
  } catch (error) {
    if (mine === request) element.message.textContent = error.message;
  }
}

async function imagesOf(content, volumes) {
  const edited = content.changed_at.length > 0;
  const channels = edited ? await editedChannels(content, volumes) : await channelsOf(content.channels, volumes);
  const labels = volumes.labels ? await volume(volumes.labels, "labels", {}) : null;
  if (labels) labels.hdr.intent_code = INTENT_LABEL;
  // Labels alone lie on an image of themselves that is shown black.
  const ground = { colormap: "gray", cal_min: 1e6, cal_max: 2e6 };
  if (!channels.length) channels.push(await volume(volumes.labels, "ground", ground));
  return { channels, labels };
}

function channelsOf(channels, volumes) {
  return Promise.all(channels.map((_, place) => volume(volumes[`channel ${place}`], `channel ${place}`, { colormap: "gray" })));
}

// Of an edited scan the case holds the box of each channel that has changed.
async function editedChannels(content, volumes) {
  const scans = await scanOf(content.before, content.channels);
  const boxes = content.changed_at.map((_, place) => volume(volumes[`change ${place}`], `change ${place}`, {}));
  return (await Promise.all(boxes)).map((box, place) => withBox(scans[place], box, content.changed_at[place]));
}

function withBox(before, box, [x, y, z]) {
  const image = before.clone();
  const [width, height] = before.hdr.dims.slice(1, 3);
  const [columns, rows, slices] = box.hdr.dims.slice(1, 4);
  for (let slice = 0; slice < slices; slice++) {
    for (let row = 0; row < rows; row++) {
      const start = (slice * rows + row) * columns;
      const place = x + width * (y + row + height * (z + slice));
      image.img.set(box.img.subarray(start, start + columns), place);
    }
  }
  return image;
}

async function scanOf(id, channels) {
  if (scan.id !== id) {
    const { volumes } = await load("templates", id);
    scan = { id, channels: await channelsOf(channels, volumes) };
  }
  return scan.channels;
}

// What is drawn

function opacity() {
  if (!element.overlay.checked) return 0;
  return shown.channels.length ? Number(element.opacity.value) : 1;
}

function showImages() {
  chooseWindow();
  colorLabels();
  arrange();
  showPlanes(shown.plane === "volume" ? pressedPlane() : shown.plane);
  viewer.opts.isOrientationTextVisible = shown.oriented;
  const [, , extent] = viewer.sceneExtentsMinMax();
  viewer.opts.crosshairWidth = Math.max(...extent) / 250;
  viewer.scene.pan2Dxyzmm = [0, 0, 0, 1];
  goTo(shown.focus);
}

function arrange() {
  const base = (shown.before ? shown.scans : shown.images.channels)[shown.channel];
  viewer.volumes = shown.images.labels ? [base, shown.images.labels] : [base];
  viewer.back = base;
  viewer.overlays = viewer.volumes.slice(1);
  viewer.updateGLVolume();
  viewer.createOnLocationChange();
  element.shown.textContent = shown.before ? `before: ${shown.template}` : shown.template ? "after" : "";
}

function chooseWindow() {
  const chosen = shown.channels[shown.channel]?.windows[element.window.value];
  if (!chosen) return; // labels alone, or levels set by hand
  for (const image of [shown.images.channels[shown.channel], shown.scans?.[shown.channel]]) {
    if (image) Object.assign(image, { cal_min: chosen.low, cal_max: chosen.high });
  }
}

// Outlines are of full opacity, and what they enclose has none.
function colorLabels() {
  const { labels } = shown.images;
  if (!labels) return;
  const part = (start) => [0, ...shown.legend.map(({ color }) => parseInt(color.slice(start, start + 2), 16))];
  const inside = element.outline.checked ? 0 : 255;
  const values = [0, ...shown.legend.map(({ value }) => value)];
  labels.setColormapLabel({ R: part(1), G: part(3), B: part(5), A: values.map((value) => value && inside), I: values });
  viewer.opts.atlasOutline = element.outline.checked && element.overlay.checked ? 1 : 0;
  labels.opacity = opacity();
}

function hideLabels() {
  const { labels } = shown.images;
  shown.values ??= labels.img.slice();
  labels.img = shown.values.map((value) => (shown.hidden.has(value) ? 0 : value));
  viewer.updateGLVolume();
}

function redrawLabels() {
  if (!shown?.images?.labels) return;
  colorLabels();
  viewer.updateGLVolume();
}

function showPlanes(plane) {
  const types = { volume: "MULTIPLANAR", axial: "AXIAL", coronal: "CORONAL", sagittal: "SAGITTAL" };
  for (const button of element.planes.children) button.ariaPressed = String(button.value === plane);
  viewer.setSliceType(niivue.SLICE_TYPE[types[plane]]);
}

function pressedPlane() {
  return Array.from(element.planes.children).find((button) => button.ariaPressed === "true")?.value ?? "volume";
}

function goTo(place) {
  viewer.scene.crosshairPos = viewer.mm2frac(place);
  viewer.createOnLocationChange();
  viewer.drawScene();
}

async function switchBefore() {
  if (!viewer || !shown?.template) return;
  const mine = request;
  if (!shown.scans) {
    element.message.hidden = false;
    element.message.textContent = `Loading ${shown.template}`;
    try {
      const scans = await scanOf(shown.template, shown.channels);
      if (mine !== request) return;
      shown.scans = scans;
    } catch (error) {
      if (mine === request) element.message.textContent = error.message;
      return;
    }
    element.message.hidden = true;
  }
  shown.before = !shown.before;
  const [now, then] = shown.before ? [shown.scans, shown.images.channels] : [shown.images.channels, shown.scans];
  const { cal_min, cal_max } = then[shown.channel];
  Object.assign(now[shown.channel], { cal_min, cal_max });
  element.before.ariaPressed = String(shown.before);
  arrange();
}

// What is written beside the image

function showWords() {
  const place = index.cases.findIndex((one) => one.id === shown.id);
  document.title = `${shown.id} · ${index.title}`;
  element.notice.textContent = shown.notice;
  element.notice.dataset.kind = shown.kind;
  element.position.textContent = `${shown.id} · ${place + 1} of ${index.cases.length} · ${shown.grid}`;
  element.planes.hidden = shown.plane !== "volume";
  element.before.hidden = !shown.template;
  element.before.ariaPressed = "false";
  for (const box of ["overlayBox", "opacityBox", "outlineBox"]) element[box].hidden = !shown.legend.length;
  if (!shown.channels.length) element.opacityBox.hidden = true;
  element.channelBox.hidden = shown.channels.length < 2;
  element.windowBox.hidden = !shown.channels.length;
  element.channel.replaceChildren(...shown.channels.map((one, value) => make("option", { value }, one.name)));
  element.shown.textContent = "";
  showWindows();
  element.legend.replaceChildren(...shown.legend.map(entryOf));
  element.legendTitle.hidden = !shown.legend.length;
  element.facts.replaceChildren(...shown.facts.flatMap(tableOf));
  markCase();
}

function showWindows() {
  const { windows = [], unit = "" } = shown.channels[shown.channel] ?? {};
  const range = ({ low, high }) => [`(${rounded(low)} to ${rounded(high)}`, unit].filter(Boolean).join(" ");
  const named = (one, value) => make("option", { value }, `${one.name} ${range(one)})`);
  element.window.replaceChildren(...windows.map(named));
  element.window.selectedIndex = Math.max(0, windows.findIndex(({ name }) => name === preferred));
}

function entryOf(label) {
  const box = make("input", { type: "checkbox", checked: true });
  box.onchange = () => {
    shown.hidden[box.checked ? "delete" : "add"](label.value);
    if (viewer) hideLabels();
  };
  const swatch = make("i", {});
  swatch.style.background = label.color;
  return make("li", {}, make("label", {}, box, swatch, label.name, make("span", {}, label.voxels.toLocaleString("en"))));
}

function tableOf({ title, head, rows, place }) {
  const heading = make("h2", {}, title);
  if (place && viewer) heading.append(make("button", { onclick: () => goTo(place) }, "Show"));
  const cells = (tag, texts) => texts.map((text) => make(tag, {}, text));
  const table = make("table", {});
  if (head.length) table.append(make("tr", {}, ...cells("th", head)));
  table.append(...rows.map((row) => make("tr", { className: row.failed ? "failed" : "" }, ...cells("td", row.cells))));
  return [heading, table];
}

function showReadout(data) {
  const [image, label] = data.values;
  if (!shown || !image) return;
  const { unit } = shown.channels[shown.channel] ?? {};
  const value = unit === undefined ? "" : `${rounded(image.value)} ${unit}`;
  const name = label && shown.legend.find((one) => one.value === Math.round(label.value))?.name;
  const at = shown.oriented ? `${Array.from(data.mm).slice(0, 3).map((mm) => mm.toFixed(1)).join(", ")} mm` : "";
  element.readout.textContent = [at, value, name].filter(Boolean).join(" · ");
}

function showLevels(image) {
  const text = `By hand (${rounded(image.cal_min)} to ${rounded(image.cal_max)})`;
  const option = element.window.querySelector("[value=hand]") ?? make("option", { value: "hand" });
  option.textContent = text;
  element.window.append(option);
  element.window.value = "hand";
}

// The list of cases

function listed() {
  const wanted = element.search.value.toLowerCase();
  return index.cases.filter((one) => (!element.failed.checked || one.failed) && one.id.toLowerCase().includes(wanted));
}

function showCases() {
  const entries = listed().map((one) => {
    const entry = make("li", { id: `case ${one.id}`, role: "option", onclick: () => choose(one.id) }, one.id);
    entry.dataset.id = one.id;
    if (one.failed) entry.append(make("span", {}, `${one.failed} ✗`));
    return entry;
  });
  element.cases.replaceChildren(...(entries.length ? entries : [make("li", {}, "No case")]));
  markCase();
}

function markCase() {
  for (const entry of element.cases.children) {
    const chosen = shown !== null && entry.dataset.id === shown.id;
    entry.ariaSelected = String(chosen);
    if (!chosen) continue;
    element.cases.setAttribute("aria-activedescendant", entry.id);
    entry.scrollIntoView({ block: "nearest" });
  }
}

function step(by) {
  const ids = listed().map((one) => one.id);
  if (!ids.length) return;
  const place = ids.indexOf(asked);
  choose(ids[place < 0 ? 0 : (place + by + ids.length) % ids.length]);
}

function startAgain() {
  showCases();
  const ids = listed().map((one) => one.id);
  if (ids.length && !ids.includes(asked)) choose(ids[0]);
}

// Keys

function moveSlice(by) {
  if (!viewer || !shown) return;
  const plane = shown.plane === "volume" ? pressedPlane() : shown.plane;
  const axis = { sagittal: 0, coronal: 1 }[plane] ?? 2;
  viewer.moveCrosshairInVox(...[0, 1, 2].map((each) => (each === axis ? by : 0)));
}

function toggle(box) {
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change"));
}

const keys = {
  n: () => step(1),
  p: () => step(-1),
  PageDown: () => step(1),
  PageUp: () => step(-1),
  ArrowUp: () => (document.activeElement === element.cases ? step(-1) : moveSlice(1)),
  ArrowDown: () => (document.activeElement === element.cases ? step(1) : moveSlice(-1)),
  w: () => {
    element.window.selectedIndex = (element.window.selectedIndex + 1) % element.window.length;
    element.window.dispatchEvent(new Event("change"));
  },
  o: () => toggle(element.overlay),
  l: () => toggle(element.outline),
  b: switchBefore,
  f: () => toggle(element.failed),
};
PLANES.forEach((plane, place) => {
  keys[place + 1] = () => viewer && shown?.plane === "volume" && showPlanes(plane);
});

function listen() {
  addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=search], select, input[type=range]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === element.canvas) event.stopPropagation(); // NiiVue has keys of its own
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  }, true);
  element.stage.onmousemove = ({ buttons }) => viewer && shown && buttons === 2 && showLevels(viewer.volumes[0]);
  element.search.oninput = showCases;
  element.failed.onchange = startAgain;
  element.before.onclick = switchBefore;
  for (const button of element.planes.children) button.onclick = () => viewer && showPlanes(button.value);
  element.opacity.oninput = element.overlay.onchange = element.outline.onchange = redrawLabels;
  element.window.onchange = () => {
    preferred = shown.channels[shown.channel].windows[element.window.value]?.name ?? preferred;
    if (!viewer) return;
    chooseWindow();
    viewer.updateGLVolume();
  };
  element.channel.onchange = () => {
    shown.channel = Number(element.channel.value);
    showWindows();
    if (!viewer) return;
    chooseWindow();
    arrange();
  };
  addEventListener("hashchange", () => choose(wanted()));
}

function wanted() {
  let id = "";
  try {
    id = decodeURIComponent(location.hash.slice(1));
  } catch {
    // not an id
  }
  return index.cases.some((one) => one.id === id) ? id : index.cases[0].id;
}

async function start() {
  element.count.textContent = index.cases.filter((one) => one.failed).length;
  listen();
  showCases();
  if (document.createElement("canvas").getContext("webgl2")) {
    viewer = new niivue.Niivue({
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
      dragMode: niivue.DRAG_MODE.windowing,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
      crosshairColor: [0.5, 0.8, 1, 0.6],
      crosshairWidthUnit: "mm",
      crosshairGap: 6,
    });
    viewer.onLocationChange = showReadout;
    viewer.onIntensityChange = showLevels;
    await viewer.attachToCanvas(element.canvas);
  }
  choose(wanted());
}

start();
