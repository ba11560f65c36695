/**
 * `backy-extract list --partitions`: what is in the image of a revision, as a table or as JSON.
 * Only reads, and takes no lock: what is removed meanwhile is told of as missing. `lib/image/`
 * finds out what is there.
 *
 * With `--json`, one object per line. Programs should skip types and fields that they do not know;
 * these keep their meaning:
 *
 * | type        | fields                                                                                           |
 * | ----------- | ------------------------------------------------------------------------------------------------ |
 * | `image`     | `uuid` of the revision; `sizeBytes`; `table`: "gpt", "mbr", or `null` if there is none that can  |
 * |             | be used; `sectorBytes`: unit of the table's numbers, `null` without one                          |
 * | `partition` | `number`, `null` for an image without a table, which is listed as a whole; `offset`: its first   |
 * |             | byte in the image; `sizeBytes`; `role`: "primary", "extended", "logical", `null`; `partitionType`|
 * |             | as sfdisk writes it: hex digits or a GUID, `null`; `partitionTypeName`, `null` for rare ones;    |
 * |             | `name`: that of the GPT, `null`; `content`: `null` if it is not recognised; `fault`: why the     |
 * |             | partition or its content cannot be read, `null` if it can                                        |
 *
 * `content` has `kind`, as `blkid` and `mount -t` call it: "ext4", "xfs", "swap", "LVM2_member",
 * "crypto_LUKS"...; `version` where a kind has several; `label` (of LVM the volume group, of ZFS
 * the pool) and `uuid`. What is not there is `null`.
 *
 * @module
 */

import { type ImageLayout, readImageLayout, type Volume } from "../image/image_layout.ts";
import { partitionTypeName } from "../image/partition_types.ts";
import { describeVolume } from "../image/volume_content.ts";
import { StoredImage } from "../restore/stored_image.ts";
import { Slices } from "../slices.ts";
import { readMapSteps } from "../store/revision_map.ts";
import { selectRevision } from "../store/select_revision.ts";
import { interpretRevision } from "../store/revision_meaning.ts";
import { quote } from "../wording.ts";
import { ExitCode } from "./exit_code.ts";
import { formatBytes, formatQuantity } from "./format.ts";
import { renderJsonLine } from "./json_line.ts";
import { type ListOutput, type ListRequest, Printer } from "./list.ts";
import { renderTable, type TableColumn } from "./table.ts";

/**
 * Lists the partitions of a revision.
 *
 * @param request `dir` may be a revision, as a restore takes it. A backup directory without a spec
 *   stands for its last revision.
 * @returns FAILURE only if standard output cannot be written.
 * @throws {RevisionError} If there is no such revision, more than one, or its map is not valid.
 * @throws {StoreFormatError | UsageError} As `selectRevision` does.
 * @throws {ChunkMissingError | ChunkCorruptError} If a chunk with the partition table is bad.
 */
export async function listPartitions(request: ListRequest, output: ListOutput): Promise<ExitCode> {
  const { dir, spec, json } = request;
  const { reporter, columns } = output;
  reporter.step("Reading metadata");
  const isDirectory = spec === undefined && interpretRevision(dir, {}).kind === "directory";
  const revision = await selectRevision(dir, { spec: isDirectory ? "last" : spec });
  reporter.step("Reading the revision map");
  const map = await new Slices().run(readMapSteps(revision.mapPath));
  reporter.step("Reading partitions");
  const layout = readImageLayout(new StoredImage(map, [revision.basedir]));
  reporter.stop();
  const found = { name: revision.name, imageBytes: map.imageBytes };
  const printer = new Printer(output);
  const lines = json
    ? jsonLines(layout, found)
    : tableLines(layout, { ...found, maxCells: columns });
  for (const line of lines) if (!await printer.add(line)) return printer.code;
  if (!await printer.flush()) return printer.code;
  for (const text of [...revision.warnings, ...warningsAbout(layout)]) reporter.warn(text);
  return ExitCode.COMPLETE;
}

/** The revision and the image in which volumes were found. */
interface Found {
  readonly name: string;
  readonly imageBytes: number;
}

function* jsonLines(
  { table, volumes }: ImageLayout,
  { name, imageBytes }: Found,
): Generator<string> {
  yield renderJsonLine({
    type: "image",
    uuid: name,
    sizeBytes: imageBytes,
    table: table?.kind ?? null,
    sectorBytes: table?.sectorBytes ?? null,
  });
  for (const { partition, offset, bytes, content, contentFault } of volumes) {
    yield renderJsonLine({
      type: "partition",
      number: partition?.number ?? null,
      offset,
      sizeBytes: bytes,
      role: partition?.role ?? null,
      partitionType: partition?.type ?? null,
      partitionTypeName: partition && partitionTypeName(partition.type),
      name: partition?.name || null,
      content: content && {
        kind: content.kind,
        version: content.version || null,
        label: content.label || null,
        uuid: content.uuid || null,
      },
      fault: partition?.fault ?? contentFault,
    });
  }
}

const COLUMNS: readonly TableColumn<Volume>[] = [
  {
    title: "No",
    align: "right",
    cell: ({ partition }) => partition ? String(partition.number) : "-",
  },
  { title: "Offset", align: "right", cell: ({ offset }) => String(offset) },
  { title: "Size", align: "right", cell: ({ bytes }) => formatBytes(bytes) },
  { title: "Type", minCells: 8, isOptional: true, cell: typeOf },
  { title: "Name", minCells: 6, isOptional: true, cell: ({ partition }) => partition?.name ?? "" },
  { title: "Content", cell: contentOf },
  { title: "Label", minCells: 6, isOptional: true, cell: ({ content }) => content?.label ?? "" },
];

/** The last column, which is left out where the terminal is too narrow. */
const UUID: TableColumn<Volume> = {
  title: "UUID",
  isOptional: true,
  cell: ({ content }) => content?.uuid ?? "",
};

function typeOf({ partition }: Volume): string {
  return partition ? partitionTypeName(partition.type) ?? partition.type : "";
}

function contentOf({ partition, content, contentFault }: Volume): string {
  if (partition?.role === "extended") return "logical partitions";
  if (partition !== null && partition.fault !== null) return "not in the image";
  if (contentFault !== null) return "unreadable";
  return content ? describeVolume(content) : "unknown";
}

function* tableLines(
  { table, volumes }: ImageLayout,
  { name, imageBytes, maxCells = Infinity }: Found & { maxCells: number | undefined },
): Generator<string> {
  if (volumes.length > 0) {
    const wide = renderTable(volumes, { columns: [...COLUMNS, UUID] });
    const lines = wide.some((line) => line.length > maxCells)
      ? renderTable(volumes, { columns: COLUMNS, maxCells })
      : wide;
    for (const line of lines) yield `${line}\n`;
  }
  const size = formatBytes(imageBytes);
  const found = table
    ? `${formatQuantity(volumes.length, "partition")} (${table.kind.toUpperCase()}, sectors of ` +
      `${table.sectorBytes} bytes)`
    : "No partition table";
  yield `${found} in the image of revision ${quote(name, 255)}, ${size}\n`;
}

function warningsAbout({ table, tableFault, volumes }: ImageLayout): string[] {
  const faults = volumes.flatMap(({ partition, contentFault }) => {
    const number = partition ? `partition ${partition.number}: ` : "";
    const fault = partition?.fault ?? contentFault;
    return fault === null ? [] : [number + fault];
  });
  return [
    ...tableFault === null ? [] : [`cannot use the partition table: ${tableFault}`],
    ...table?.warnings ?? [],
    ...table?.doubt
      ? [
        `whether the partition table counts in sectors of 512 or 4096 bytes is unclear: ${table.doubt}`,
      ]
      : [],
    ...faults.slice(0, MAX_FAULTS),
    ...faults.length > MAX_FAULTS
      ? [`${faults.length - MAX_FAULTS} more partitions have faults`]
      : [],
  ];
}

/** A table may have thousands of bad entries. */
const MAX_FAULTS = 16;
