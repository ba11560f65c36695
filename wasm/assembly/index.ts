// The module's exports. It imports nothing and owns its memory; README.md has the memory map.

import { fillDecoderTables } from "./lzo1x_decode";

export { errorOffset, lzo1xDecode } from "./lzo1x_decode";
export { lzo1xEncode } from "./lzo1x_encode";
export {
  hashAddress,
  inputAddress,
  inputCapacity,
  outputAddress,
  outputCapacity,
  outputCount,
  zeroFlagsAddress,
} from "./memory_map";
export { murmur3 } from "./murmur3";
export { zeroScan } from "./zero_scan";

fillDecoderTables();
