/**
 * Reads as much of an mdoc(7) manual page as tests need: its sections, and the items of lists.
 *
 * @module
 */

/** An item of a list. */
export interface ManualItem {
  /** Its head, as `Fl r , Fl -revision Ar SPEC`. */
  readonly head: string;
  /** The plain text below it, with that of lists in it. */
  readonly text: string;
}

/** A manual page. */
export class Manual {
  readonly #lines: readonly string[];

  constructor(path: string) {
    this.#lines = Deno.readTextFileSync(path).split("\n");
  }

  /**
   * Lines of a section, or of a subsection; of a section only those before its first subsection.
   */
  section(title: string): string[] {
    const start = this.#lines.findIndex((line) =>
      line === `.Sh ${title}` || line === `.Ss ${title}`
    );
    if (start < 0) throw new Error(`there is no section ${title}`);
    const rest = this.#lines.slice(start + 1);
    const end = rest.findIndex((line) => /^\.S[hs] /.test(line));
    return end < 0 ? rest : rest.slice(0, end);
  }

  /** Plain text of a section. */
  text(title: string): string {
    return plainText(this.section(title));
  }

  /**
   * Items of the lists of a section, not of lists in those. Several heads in a row have the text of
   * the last.
   */
  items(title: string): ManualItem[] {
    const items: { head: string; lines: string[] }[] = [];
    let depth = 0;
    for (const line of this.section(title)) {
      if (line.startsWith(".Bl ")) depth++;
      if (line.startsWith(".El")) depth--;
      if (depth === 1 && line.startsWith(".It ")) items.push({ head: line.slice(4), lines: [] });
      else if (depth > 0) items.at(-1)?.lines.push(line);
    }
    return items.map(({ head }, index) => ({
      head,
      text: plainText(items.slice(index).find(({ lines }) => lines.length > 0)?.lines ?? []),
    }));
  }
}

function plainText(lines: readonly string[]): string {
  return lines
    .map((line) =>
      line.startsWith(".") ? line.slice(1).replace(/(^|(?<= ))[A-Z][a-z]( |$)/g, "") : line
    )
    .join(" ").replaceAll(/\\&/g, "").replaceAll(/\s+/g, " ").replaceAll(/ ([.,;:])/g, "$1").trim();
}
