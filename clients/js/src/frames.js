/**
 * Binary frames of `ancestral.v1`, as a pure function of their bytes.
 *
 * 24 little-endian header bytes: u8 version, u8 kind (0 values), u8 dtype, u8 flags (bit 0: last
 * frame of this item), u32 stream, u32 item, u32 count, u64 first_site; then count × dimensions
 * per site values in generation order.
 */

export const SUBPROTOCOL = "ancestral.v1";
export const HEADER_BYTES = 24;
export const DTYPES = ["uint8", "int16", "int32", "float32"];

const ARRAYS = [Uint8Array, Int16Array, Int32Array, Float32Array];
const READERS = [
  (view, at) => view.getUint8(at),
  (view, at) => view.getInt16(at, true),
  (view, at) => view.getInt32(at, true),
  (view, at) => view.getFloat32(at, true),
];
const VERSION = 1;
const VALUES = 0;
const LAST = 1;

/** Bytes that are no frame, or frames that leave a gap. */
export class FrameError extends Error {
  name = "FrameError";
}

/**
 * One frame of an ArrayBuffer or a typed array.
 *
 * Returns {dtype, last, stream, item, count, firstSite, dims, values}: values is a typed array of
 * count × dims numbers. Throws FrameError.
 */
export function decodeFrame(data) {
  const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < HEADER_BYTES) {
    throw new FrameError(`a frame of ${view.byteLength} bytes; its header has ${HEADER_BYTES}`);
  }
  const [version, kind, dtype, flags] = bytes;
  if (version !== VERSION) throw new FrameError(`frame version ${version}; ${VERSION} is known`);
  if (kind !== VALUES) throw new FrameError(`frame kind ${kind}; ${VALUES} is known`);
  if (dtype >= ARRAYS.length) throw new FrameError(`frame dtype ${dtype} is unknown`);
  if (flags & ~LAST) throw new FrameError(`frame flags ${flags} are unknown`);
  const count = view.getUint32(12, true);
  const firstSite = view.getBigUint64(16, true);
  if (firstSite > Number.MAX_SAFE_INTEGER) {
    throw new FrameError(`first site ${firstSite} is beyond 2^53`);
  }
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  const payload = view.byteLength - HEADER_BYTES;
  const dims = payload / (count * size);
  if (dims < 1 || !Number.isInteger(dims)) {
    throw new FrameError(`${payload} bytes of values for ${count} sites of ${DTYPES[dtype]}`);
  }
  const values = new ARRAYS[dtype](count * dims);
  for (let i = 0; i < values.length; i++) values[i] = READERS[dtype](view, HEADER_BYTES + i * size);
  return {
    dtype: DTYPES[dtype],
    last: (flags & LAST) !== 0,
    stream: view.getUint32(4, true),
    item: view.getUint32(8, true),
    count,
    firstSite: Number(firstSite),
    dims,
    values,
  };
}

/** Position of each rank of an item; null in raster order. An ensemble has one for each item. */
export function permutationOf(started, item) {
  const { item_orders: names, permutations } = started;
  return names ? permutations[names[item]] : (started.permutation ?? null);
}

/** What has arrived of each item; the protocol promises sites in order, no gap, no overlap. */
export class Ledger {
  /** `started`: the message that named count, sites, dims_per_site and dtype. */
  constructor(started) {
    this.started = started;
    this.next = new Array(started.count).fill(0);
  }

  /** Books a frame. Throws FrameError where it breaks the promise. */
  book(frame) {
    const { count, sites, dims_per_site: dims, dtype } = this.started;
    if (frame.item >= count) throw new FrameError(`item ${frame.item} of a stream of ${count}`);
    if (frame.dtype !== dtype) throw new FrameError(`a ${frame.dtype} frame in a ${dtype} stream`);
    if (frame.dims !== dims) {
      throw new FrameError(`${frame.dims} values per site in a stream of ${dims}`);
    }
    const expected = this.next[frame.item];
    if (frame.firstSite !== expected) {
      throw new FrameError(`item ${frame.item} goes on at site ${frame.firstSite}, not ${expected}`);
    }
    const next = expected + frame.count;
    if (next > sites || frame.last !== (next === sites)) {
      throw new FrameError(`item ${frame.item} ends at site ${next}; it has ${sites}`);
    }
    this.next[frame.item] = next;
  }

  /** Sites that have arrived, of all items. */
  get arrived() {
    return this.next.reduce((sum, next) => sum + next, 0);
  }

  get complete() {
    return this.arrived === this.started.count * this.started.sites;
  }
}

/** What a frame holds from rank `site` on; null where that is nothing. */
export function after(frame, site) {
  const skip = Math.max(0, site - frame.firstSite);
  if (skip === 0) return frame;
  if (skip >= frame.count) return null;
  const values = frame.values.subarray(skip * frame.dims);
  return { ...frame, firstSite: frame.firstSite + skip, count: frame.count - skip, values };
}

/** The frame that an `output` event of a job's server-sent events stands for. */
export function frameOfEvent({ item, first_site, count, last, values }, dtype) {
  const array = ARRAYS[DTYPES.indexOf(dtype)].from(values);
  return { dtype, last, stream: 0, item, count, firstSite: first_site, dims: array.length / count, values: array };
}
