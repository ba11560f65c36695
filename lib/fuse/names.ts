/**
 * Names in a mount beside those of revisions. A revision of the same name comes first.
 *
 * @module
 */

/** The symbolic link to the newest finished revision. */
export const LAST_NAME = "last";

/** The directory of symbolic links that are named by time. */
export const BY_DATE_NAME = "by-date";

/** What follows a revision's name, or a link's to one, in the name of its partitions' directory. */
export const PARTS_SUFFIX = ".parts";
