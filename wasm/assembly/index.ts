// The module's exports. The module imports nothing and owns its memory.

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
