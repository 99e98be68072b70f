/* SPDX-License-Identifier: MIT
 *
 * L0. Glob patterns on '/'-separated relative paths, as in gitignore:
 *   - `*` any characters but '/'; `?` one character (UTF-8) but '/';
 *   - `[abc]`, `[a-z]`, `[!abc]`, `[^abc]` one character of a set, never '/';
 *   - `\x` the character x itself;
 *   - a whole component `**`: any number of components, at the end of a
 *     pattern at least one (`a/` followed by `**` is what is below a, not a itself);
 *   - a pattern without '/' is matched against the last component of the path; one with '/' against the whole
 *     path (a leading '/' only says so).
 * No braces, no negation of patterns. Case counts. Names that begin with a dot are not special.
 */
#ifndef MILESTONEFS_GLOB_H
#define MILESTONEFS_GLOB_H

#include <stdbool.h>

/**
 * Does @path match @pattern? No allocation; time O(path² × pattern) at worst, and a few
 * nanoseconds when the pattern's literal end differs from the path's.
 */
bool glob_match(const char *pattern, const char *path);

/**
 * Can @pattern match anything as its writer meant: not empty, no component
 * empty (so no trailing '/'), each '[' closed, nothing missing after '\'?
 */
bool glob_valid(const char *pattern);

#endif
