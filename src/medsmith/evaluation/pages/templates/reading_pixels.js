"use strict";
// Lossless gray levels of the study, and their display in a window.

/** Gray levels of one stack, slices x rows x columns; the inverse of pack() in study_page.py. */
async function unpack(base64, shape) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const stream = new Blob([bytes.subarray(4, 4 + length)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const [slices, rows, columns] = shape;
  const levels = new Uint16Array(slices * rows * columns);
  for (let start = 0; start < levels.length; start += columns) {
    let level = 0;
    for (let i = start; i < start + columns; i++) {
      level = (level + planes[i] + 256 * planes[levels.length + i]) & 0xffff;
      levels[i] = level;
    }
  }
  return levels;
}

/** Draws one slice; levels from window.low to window.high run from black to white. */
function draw(canvas, levels, slice, shape, window) {
  const [, rows, columns] = shape;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  const pixels = new Uint32Array(picture.data.buffer);
  const grays = new Uint8ClampedArray(1); // clamps and rounds
  const gain = 255 / (window.high - window.low);
  const start = slice * rows * columns;
  for (let i = 0; i < pixels.length; i++) {
    grays[0] = (levels[start + i] - window.low) * gain;
    pixels[i] = 0xff000000 | (grays[0] * 0x010101);
  }
  context.putImageData(picture, 0, 0);
}
